"""Every row of every table in a recipe: it trains, and the run is saved, reloaded and evaluated.

A recipe takes one row of each table, so there are as many recipes as the longest table has
rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.evaluation.evaluate import evaluate
from pipelines.recipe.presets import HEADS
from pipelines.recipe.recipe import Recipe
from pipelines.serving.run import Run
from pipelines.training.train import train
from tuning.optimization.clipping import CLIPPINGS
from tuning.optimization.losses import LOSSES
from tuning.optimization.optimizers import OPTIMIZERS
from tuning.optimization.penalties import PENALTIES
from tuning.optimization.schedules import SCHEDULES
from zoo.heads.activations import ACTIVATIONS
from zoo.heads.head import POOLINGS
from zoo.heads.initializers import INITIALIZERS
from zoo.models.symmetry import SYMMETRIES
from zoo.normalization import NORMALIZATIONS

TABLES: Mapping[str, Mapping[str, Any]] = {
    "input.normalization": NORMALIZATIONS,
    "head.pooling": POOLINGS,
    "backbone.symmetry": SYMMETRIES,
    "head.initializer": INITIALIZERS,
    "head.activation": ACTIVATIONS,
    "optimizer.name": OPTIMIZERS,
    "optimizer.clip": CLIPPINGS,
    "schedule.name": SCHEDULES,
    "penalty.name": PENALTIES,
}
TINY = {
    "data": {"train_per_class": 6, "val_fraction": 0.05},
    "backbone": {"name": "micro_resnet_s", "frozen": True, "levels": 1},
    "input": {"size": 32, "batch_size": 16},
    "augment": {"policy": "none"},
    "head": {"hidden": [8, 8]},
    "train": {"epochs": 2},
}


def _optimizer(layer: Mapping[str, Mapping[str, Any]]) -> str:
    return str(layer["optimizer"]["name"])


def _recipes() -> list[dict[str, dict[str, Any]]]:
    count = max(map(len, TABLES.values()))
    columns = {path: list(islice(cycle(table), count)) for path, table in TABLES.items()}
    recipes = []
    for number in range(count):
        layer: dict[str, dict[str, Any]] = {}
        for path, column in columns.items():
            section, _, setting = path.partition(".")
            layer.setdefault(section, {})[setting] = column[number]
        # Half of the heads are normalized behind the activation.
        layer["head"]["batch_norm_position"] = ("before", "after")[number % 2]
        if layer["schedule"]["name"] == "multi_step":
            layer["schedule"]["milestones"] = [1]
        # What cannot be had together; tests/pipelines/recipe/test_compatibility.py says why.
        if layer["optimizer"]["name"] == "ftrl":
            layer["schedule"]["warmup"] = 0.0
        if PENALTIES[layer["penalty"]["name"]].l1 and not OPTIMIZERS[_optimizer(layer)].step_size:
            layer["penalty"]["name"] = "l2"
        if _optimizer(layer) == "lbfgs":
            layer["head"]["hidden"] = []
        recipes.append(layer)
    return recipes


RECIPES = _recipes()


def _check_reloaded(run: Run) -> None:
    """What was measured before saving is what the file on disk says."""
    assert np.isfinite(run.metrics["train"]["loss"])
    again = evaluate(Run.open(run.path), "digits", split="val")["val"]
    assert again["loss"] == pytest.approx(run.metrics["val"]["loss"], rel=1e-5)
    assert again["confusion_matrix"] == run.metrics["val"]["confusion_matrix"]


def test_no_row_is_left_out() -> None:
    for path, table in TABLES.items():
        section, _, setting = path.partition(".")
        assert {recipe[section][setting] for recipe in RECIPES} == set(table), path


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS)
def test_ready_made_head_trains_saves_reloads_and_answers_the_same(
    name: str, tmp_path: Path
) -> None:
    plain = {section: TINY[section] for section in TINY if section != "head"}
    run = train("digits", Recipe.from_settings(plain, HEADS[name].settings), out=tmp_path / "run")
    _check_reloaded(run)


@pytest.mark.slow
@pytest.mark.parametrize("layer", RECIPES, ids=_optimizer)
def test_recipe_trains_saves_reloads_and_answers_the_same(layer: Any, tmp_path: Path) -> None:
    recipe = Recipe.from_settings(TINY, layer)
    run = train("digits", recipe, out=tmp_path / "run")
    expected = recipe.resolve()
    if "penalty.l2" in expected.to_measure:
        expected = expected.with_measured(l2=run.recipe.penalty.l2)
    assert run.recipe.penalty == expected.penalty
    _check_reloaded(run)
    figures = run.head_weights
    assert figures["num_weights"] == sum(part["num_weights"] for part in figures["layers"].values())
    assert list(figures["layers"]) == [*recipe.head.hidden_names, "logits"]


@pytest.mark.train
def test_every_loss_trains_a_task_that_answers_the_same_when_reloaded(tmp_path: Path) -> None:
    # A digit is a class, a set of one label, and a number.
    tasks = {
        name: {"kind": loss.kind, "loss": name, "column": "label"} for name, loss in LOSSES.items()
    }
    run = train("digits", Recipe.from_settings(TINY, {"tasks": tasks}), out=tmp_path / "run")
    assert list(run.metrics["val"]["tasks"]) == list(LOSSES)
    again = evaluate(Run.open(tmp_path / "run"), "digits", split="val")["val"]["tasks"]
    for name, figures in run.metrics["val"]["tasks"].items():
        key = "mae" if "mae" in figures else "loss"
        assert np.isfinite(figures[key])
        assert again[name][key] == pytest.approx(figures[key], rel=1e-5)
