"""More epochs for a run: the same as if it had had them from the beginning, or a reason why not."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.recipe.recipe import Recipe
from pipelines.serving.run import Run
from pipelines.storage.checkpoint import Checkpoint
from pipelines.storage.run_folder import RunFolder
from pipelines.training.more_epochs import count_added_epochs
from pipelines.training.train import train
from tests.support.tiny import TINY
from zoo.errors import RunError
from zoo.tasks import classification


def _history(run: Run) -> list[dict[str, str]]:
    with (run.path / "history.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "wall_s"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def longer(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of five epochs from the beginning; `tiny_run` has three."""
    recipe = Recipe.from_toml(tiny_run.recipe_file).override({"train.epochs": 5})
    return train(None, recipe, out=tmp_path_factory.mktemp("longer") / "run")


@pytest.mark.train
@pytest.mark.parametrize("finished", [True, False])
def test_longer_run_is_that_of_the_beginning(
    finished: bool, tiny_run: Run, longer: Run, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(tiny_run.path, out)
    if not finished:
        (out / "metrics.json").unlink()
        (out / "model.keras").unlink()
    recipe = Recipe.from_toml(out / "recipe.toml").override({"train.epochs": 5})
    run = train(None, recipe, out=out, resume=True)
    assert len(_history(run)) == 5
    assert _history(run) == _history(longer)
    pairs = zip(run.load_model().get_weights(), longer.load_model().get_weights(), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)
    assert run.metrics == longer.metrics
    assert run.recipe.train.epochs == 5
    with pytest.raises(RunError, match=r"another recipe; .*train.epochs = 3, not 5"):
        train(None, tiny_run.recipe, out=out, resume=True)


def _begin(folder: Path, num_done: int, phase: int = 0, **layer: Any) -> RunFolder:
    """Writes what a run of four epochs leaves after some of them."""
    settings: dict[str, Any] = {"train": {"epochs": 4}, **layer}
    recipe = Recipe.from_settings(TINY, settings).for_source("signs").resolve()
    run = RunFolder(folder)
    run.begin(recipe, classification(["one", "two"]))
    history = [{"epoch": number + 1} for number in range(num_done)]
    run.save_checkpoint(Checkpoint(num_done - 1, history, "abc", phase=phase))
    return run


def _count_added(run: RunFolder, epochs: int) -> int:
    longer = Recipe.from_toml(run.recipe_file).override({"train.epochs": epochs})
    return count_added_epochs(run, longer.resolve())


@pytest.mark.parametrize(
    ("layer", "num_done", "phase", "reason"),
    [
        ({"schedule": {"name": "cosine"}}, 2, 0, "schedule.name = 'cosine' is made for the"),
        ({"schedule": {"name": "linear"}}, 2, 0, "schedule.name = 'linear' is made for the"),
        ({"fine_tune": {"blocks": 1, "epochs": 2}}, 5, 1, "fine-tuning has begun after epoch 4"),
        ({"stopping": {"every": 3}}, 4, 0, "epoch 4 was validated as its last one, beside"),
        ({"optimizer": {"name": "lbfgs"}, "head": {"hidden": []}}, 4, 0, "has not converged"),
    ],
    ids=["cosine", "linear", "fine-tuned", "validated", "convex"],
)
def test_run_that_would_have_gone_another_way_says_why_it_cannot_get_longer(
    layer: dict[str, Any], num_done: int, phase: int, reason: str, tmp_path: Path
) -> None:
    run = _begin(tmp_path / "run", num_done, phase, **layer)
    before = sorted((path, path.stat().st_mtime_ns) for path in run.path.rglob("*"))
    with pytest.raises(RunError, match=rf"from 4 to 9 epochs: .*{reason}.*choose another --out"):
        _count_added(run, 9)
    assert sorted((path, path.stat().st_mtime_ns) for path in run.path.rglob("*")) == before


@pytest.mark.parametrize(
    ("layer", "num_done"),
    [
        ({}, 4),
        ({"schedule": {"name": "exponential"}}, 4),
        ({"schedule": {"name": "reduce_on_plateau"}}, 4),
        ({"fine_tune": {"blocks": 1, "epochs": 2}}, 4),
        ({"stopping": {"every": 3}}, 3),
        ({"stopping": {"every": 2}}, 4),
        ({"optimizer": {"name": "lbfgs"}, "head": {"hidden": []}}, 3),
    ],
)
def test_run_that_has_had_the_same_epochs_may_get_longer(
    layer: dict[str, Any], num_done: int, tmp_path: Path
) -> None:
    run = _begin(tmp_path / "run", num_done, **layer)
    assert _count_added(run, 9) == 5
    assert _count_added(run, 4) == 0
