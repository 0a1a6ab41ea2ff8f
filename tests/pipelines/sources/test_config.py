"""DataConfig: fractions that make splits, and settings that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from pipelines.sources.config import DataConfig
from pipelines.sources.opening.dataset import open_source
from tests.support.photographs import Fill


def sizes(data: str | Path, config: DataConfig | None = None, seed: int = 0) -> dict[str, int]:
    source = open_source(str(data), config, seed=seed)
    return {name: len(examples) for name, examples in source.splits.items()}


def test_test_fraction_makes_a_test_split(fill: Fill) -> None:
    fill("ants", 10)
    config = DataConfig(val_fraction=0.2, test_fraction=0.3)
    assert sizes(fill("bees", 10), config) == {"train": 10, "val": 4, "test": 6}


@pytest.mark.parametrize(
    "wrong",
    [{"val_fraction": 0}, {"val_fraction": 1}, {"max_undecodable": 1.1}, {"exclud": ()},
     {"val_fraction": 0.6, "test_fraction": 0.4}],
)  # fmt: skip
def test_data_config_refuses_invalid_settings(wrong: dict) -> None:
    with pytest.raises(ValidationError, match="DataConfig"):
        DataConfig(**wrong)
