"""Choices of engines that are kept in the cache: what is damaged counts as absent."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.features.engines.catalog import ENGINES
from pipelines.features.engines.choice import _Refusals
from pipelines.features.engines.race import _Choices

ROWS = [ENGINES["keras"], ENGINES["onnxruntime"]]
KEY = "keras+onnxruntime"


def test_kept_choice_is_read(tmp_path: Path) -> None:
    _Choices(tmp_path / "kept.json", ROWS).write("onnxruntime", num_images=70, tried_all=True)
    kept = _Choices(tmp_path / "kept.json", ROWS)
    assert (*kept.read(), kept.num_images) == ("onnxruntime", True, 70)


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        "3",
        json.dumps({KEY: 3}),
        json.dumps({KEY: {"engine": "no such engine", "tried_all": True}}),
        json.dumps({KEY: {"engine": ["keras"], "tried_all": True}}),
        json.dumps({KEY: {"engine": "tensorflow", "tried_all": True}}),
        None,
    ],
)
def test_damaged_choice_counts_as_absent(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    if content is None:
        os.mkfifo(file)
    else:
        file.write_text(content)
    kept = _Choices(file, ROWS)
    assert (*kept.read(), kept.num_images) == ("", False, 0)


@pytest.mark.parametrize("count", ["x", float("nan"), float("inf"), None, [1]])
def test_damaged_number_of_images_counts_as_none(count: Any, tmp_path: Path) -> None:
    entry = {"engine": "keras", "num_images": count, "tried_all": False}
    (tmp_path / "kept.json").write_text(json.dumps({KEY: entry}))
    kept = _Choices(tmp_path / "kept.json", ROWS)
    assert (*kept.read(), kept.num_images) == ("keras", False, 0)


def test_refusal_is_read_if_it_is_text(tmp_path: Path) -> None:
    facts: Any = SimpleNamespace(vector_instructions=("avx2",))
    file = tmp_path / "checked.json"
    _Refusals(file, ROWS[1], facts).write("differs")
    assert _Refusals(file, ROWS[1], facts).read() == "differs"
    for value in (3, None, ["differs"], {}):
        file.write_text(json.dumps({_Refusals(file, ROWS[1], facts).key: value}))
        assert _Refusals(file, ROWS[1], facts).read() is None
