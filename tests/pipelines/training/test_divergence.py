"""Divergence: a finite and useless loss is said, with the learning rate and what to try."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.recipe.recipe import Recipe
from pipelines.training.divergence import describe_divergence
from pipelines.training.train import train
from tests.support.tiny import TINY
from zoo.tasks import Task, classification

TASKS = classification(["ant", "bee", "cat"])


def _row(phase: str, loss: float | None) -> dict[str, Any]:
    return {"epoch": 1, "phase": phase, "loss": loss, "learning_rate": 0.3}


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ([("head", 1.0)], ""),
        ([("head", 900.0), ("head", 1.2)], ""),
        ([("head", None)], ""),
        ([("head", 4e8)], "optimizer.learning_rate=0.03"),
        ([("head", 0.5), ("fine_tune", 7e5)], "fine_tune.learning_rate=0.03"),
    ],
)
def test_last_epoch_of_a_phase_decides(losses: list[tuple[str, float | None]], said: str) -> None:
    told = describe_divergence([_row(*loss) for loss in losses], TASKS)
    assert bool(told) == bool(said)
    assert said in told


def test_loss_of_guessing_depends_on_the_tasks() -> None:
    several = [Task("count", "regression"), Task("marks", "multi_label", class_names=("a", "b"))]
    assert "guessing has 1.69" in describe_divergence([_row("head", 1e3)], several)


@pytest.mark.train
def test_diverged_training_says_so(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = Recipe.from_settings(
        TINY,
        {
            "optimizer": {"name": "sgd", "learning_rate": 10.0},
            "head": {"hidden": []},
            "train": {"epochs": 2, "standardize": False},
        },
    )
    train(tiny_folder, recipe, out=tmp_path / "run")
    lines = [line for line in capsys.readouterr().err.splitlines() if "diverged" in line]
    assert len(lines) == 1
    assert "the learning rate was 10: try --set optimizer.learning_rate=1," in lines[0]
