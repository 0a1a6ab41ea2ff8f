"""The section `features`: an engine by name, or a way to choose one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.features.config import FeatureConfig
from pipelines.features.engines.catalog import ENGINES
from pipelines.features.engines.choice import CHOICES
from pipelines.recipe.recipe import Recipe
from pipelines.storage.run_folder import RunFolder
from tests.support.tiny import TINY
from zoo.errors import UnknownNameError


@pytest.mark.parametrize("engine", [*CHOICES, *ENGINES])
def test_engine_is_open_or_a_row(engine: str) -> None:
    assert FeatureConfig(engine=engine).engine_is_open == (engine not in ENGINES)


def test_unknown_engine_is_told_the_nearest() -> None:
    message = r"Unknown engine 'fastst'\. Did you mean 'fastest'\?"
    with pytest.raises(UnknownNameError, match=message):
        Recipe.from_settings(TINY, {"features": {"engine": "fastst"}})


@pytest.mark.parametrize("engine", CHOICES)
def test_run_keeps_the_engine_it_was_started_with(engine: str, tiny_run: Any) -> None:
    folder = RunFolder(Path(tiny_run.path))
    started = tiny_run.recipe.features.engine
    assert started in ENGINES
    recipe = Recipe.from_settings(TINY, {"features": {"engine": engine}}).resolve()
    assert folder.with_its_choices(recipe).features.engine == started
    named = recipe.with_engine("openvino")
    assert folder.with_its_choices(named).features == named.features
