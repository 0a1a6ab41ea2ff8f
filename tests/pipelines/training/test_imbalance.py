"""Class imbalance: what weights, focal loss and oversampling do for the rare class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.recipe.recipe import Recipe
from pipelines.serving.run import Run
from pipelines.training.train import train
from tests.support.tiny import TINY
from zoo.errors import RecipeError

pytestmark = pytest.mark.train

COMMON, RARE = 60, 8


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of gray images whose brightness overlaps: in doubt, `common` is right.

    Validation has as many of each, so that it favors no way of training.
    """
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("data") / "uneven"
    for split, counts in (("train", (COMMON, RARE)), ("val", (30, 30))):
        for name, count, mean in zip(("common", "rare"), counts, (110, 140), strict=True):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                gray = rng.normal(mean, 20) + rng.normal(0, 10, (32, 32))
                image = Image.fromarray(gray.clip(0, 255).astype(np.uint8))
                image.save(folder / split / name / f"{number:03d}.png")
    return folder


def _train(uneven: Path, out: Path, **settings: Any) -> Run:
    recipe = Recipe.from_settings(
        TINY,
        {"head": {"hidden": [16], "dropout": 0.0}},
        {"train": {"epochs": 15, "standardize": False, **settings}},
        {"input": {"batch_size": 34}, "stopping": {"patience": 0}},
        {"seed": 1, "augment": {"policy": "none"}},  # Brightness alone tells the classes.
        {"optimizer": {"name": "adam", "learning_rate": 0.01}, "schedule": {"name": "cosine"}},
    )
    return train(uneven, recipe, out=out)


@pytest.fixture(scope="module")
def plain(uneven: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return _train(uneven, tmp_path_factory.mktemp("runs") / "plain")


def _recall(run: Run, name: str) -> float:
    return float(run.metrics["val"]["per_class"][name]["recall"])


@pytest.mark.parametrize("setting", ["class_weights", "oversample"])
def test_balancing_finds_more_of_the_rare_class(
    setting: str, plain: Run, uneven: Path, tmp_path: Path
) -> None:
    run = _train(uneven, tmp_path / "run", **{setting: "balanced"})
    assert _recall(run, "rare") > _recall(plain, "rare") + 0.2
    # What it costs, which is why it is a choice.
    assert _recall(run, "common") < _recall(plain, "common")


def test_focal_loss_believes_more_in_the_rare_class(
    plain: Run, uneven: Path, tmp_path: Path
) -> None:
    run = _train(uneven, tmp_path / "run", loss="focal")
    files = sorted((uneven / "val" / "rare").iterdir())

    def belief(run: Run) -> float:
        found = [dict(zip(p.classes, p.probabilities, strict=True)) for p in run.predict(files)]
        return float(np.mean([p["rare"] for p in found]))

    assert belief(run) > belief(plain) + 0.05


def test_balancing_twice_is_refused() -> None:
    with pytest.raises(RecipeError, match="both compensate for rare classes"):
        Recipe.from_settings({"train": {"class_weights": "balanced", "oversample": "balanced"}})


def test_loss_of_another_kind_of_task_is_refused() -> None:
    with pytest.raises(RecipeError, match="huber is for regression tasks"):
        Recipe.from_settings({"train": {"loss": "huber"}})
