"""Training with every kind of augmentation: it repeats, resumes, and validates without any."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from pipelines.evaluation.evaluate import evaluate
from pipelines.recipe.recipe import Recipe
from pipelines.serving.run import Run
from pipelines.training.train import train
from tests.pipelines.training.test_train import _same, _train_apart
from tests.support.tiny import TINY

pytestmark = pytest.mark.train

EVERYTHING = "strong|median_blur|bilateral_blur|choose(1, mixup(0.4), cutmix)"
# Trained throughout, so that every image goes through the network in every epoch.
THROUGHOUT: dict[str, Any] = {"backbone": {"frozen": False}, "train": {"epochs": 2}}


def _recipe(policy: str = EVERYTHING, **layer: Any) -> Recipe:
    return Recipe.from_settings(TINY, THROUGHOUT, {"augment": {"policy": policy}}, layer)


@pytest.fixture(scope="module")
def augmented_run(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "augmented"
    return train(tiny_folder, _recipe(), out=out)


def test_training_is_the_same_from_memory_and_from_files(
    augmented_run: Run, tiny_folder: Path, tmp_path: Path
) -> None:
    recipe = _recipe(input={"size": 32, "batch_size": 8, "cache_mib": 0})
    assert _same(train(tiny_folder, recipe, out=tmp_path / "files"), augmented_run)


def test_another_policy_gives_other_weights_and_the_same_validation(
    augmented_run: Run, tiny_folder: Path, tmp_path: Path
) -> None:
    plain = train(tiny_folder, _recipe("none"), out=tmp_path / "plain")
    assert not _same(plain, augmented_run)
    # Nothing is drawn at random where a model is measured.
    first, again = (evaluate(augmented_run, tiny_folder, split="val")["val"] for _ in range(2))
    assert first == again
    for run, figures in ((plain, evaluate(plain, tiny_folder)["val"]), (augmented_run, first)):
        assert figures["loss"] == pytest.approx(run.metrics["val"]["loss"], rel=1e-5)


def test_recipe_of_the_run_spells_the_policy_out(augmented_run: Run) -> None:
    assert augmented_run.recipe.augment == _recipe().resolve().augment
    assert 'name = "perspective"' in augmented_run.recipe_file.read_text(encoding="utf-8")


def test_policy_is_said_aloud(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = {"backbone": {"frozen": True}, "features": {"views": 1}, "train": {"epochs": 1}}
    recipe = _recipe("medical", **few)
    train(tiny_folder, recipe, out=tmp_path / "run")
    assert "\naugmentation medical: rotate(10)|zoom(1.1)|" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_killed_run_resumes_to_the_very_same_weights(
    devices: int, tiny_folder: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.toml"
    settings = {"data": {"source": str(tiny_folder)}}
    recipe.write_text(_recipe(**settings).resolve().to_toml(), encoding="utf-8")
    _train_apart(recipe, tmp_path / "whole", devices=devices)
    _train_apart(recipe, tmp_path / "killed", die_after=1, devices=devices)
    _train_apart(recipe, tmp_path / "killed", devices=devices)
    assert _same(Run.open(tmp_path / "killed"), Run.open(tmp_path / "whole"))


@pytest.mark.slow
def test_tensorflows_renderer_trains_like_opencvs(
    augmented_run: Run, tiny_folder: Path, tmp_path: Path
) -> None:
    recipe = _recipe(augment={"policy": EVERYTHING, "renderer": "tensorflow"})
    other = train(tiny_folder, recipe, out=tmp_path / "tensorflow")
    ours, theirs = (_losses(run) for run in (augmented_run, other))
    # The same draws to within a step of 255: what two epochs of training saw is alike.
    assert len(ours) == 2
    assert theirs == pytest.approx(ours, rel=0.03)


def _losses(run: Run) -> list[float]:
    with (run.path / "history.csv").open(encoding="utf-8", newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]
