"""Settings that are measured before training: what helps is chosen, and what harms is not."""

from __future__ import annotations

import itertools
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipelines.cli.main import run_command
from pipelines.recipe.recipe import Recipe
from pipelines.serving.run import Run
from pipelines.training.train import train
from tests.support.said import hear
from tests.support.tiny import write_images

pytestmark = pytest.mark.train

SIZE = 32
# Everything else is the default, so that augmentation and penalty are measured.
OPEN: dict[str, Any] = {
    "backbone": {"name": "micro_resnet_s.cifar10"},
    "input": {"size": SIZE},
    "features": {"views": 2},
}
CLOSED: dict[str, Any] = {"augment": {"policy": "none"}, "penalty": {"l2": 0.01}}


def _noise(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(60, 25, (SIZE, SIZE, 3)).clip(0, 255).astype(np.uint8)


def _write_arrows(folder: Path, per_class: int) -> Path:
    """Writes arrows to the left and to the right, which a flip turns into each other."""
    rng = np.random.default_rng(0)
    for name, ends in {"left": (26, 6), "right": (6, 26)}.items():
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            image, y = _noise(rng), int(rng.integers(9, 23))
            color = [int(value) for value in rng.integers(150, 255, 3)]
            cv2.arrowedLine(image, (ends[0], y), (ends[1], y), color, 2, tipLength=0.4)
            cv2.imwrite(str(folder / name / f"{number:03d}.png"), image)
    return folder


def _write_slopes(folder: Path, per_class: int) -> Path:
    """Writes short strokes, lying and standing, each in a corner of the image.

    Few of them show either kind in all corners; their mirror images do.
    """
    rng = np.random.default_rng(1)
    for name, (dx, dy) in {"lying": (5, 1), "standing": (1, 5)}.items():
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            image = _noise(rng)
            x, y = (int(value) for value in rng.choice([8, 24], 2) + rng.integers(-2, 3, 2))
            color = [int(value) for value in rng.integers(150, 255, 3)]
            cv2.line(image, (x - dx, y - dy), (x + dx, y + dy), color, 2)
            cv2.imwrite(str(folder / name / f"{number:03d}.png"), image)
    return folder


@pytest.fixture(scope="module")
def arrows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write_arrows(tmp_path_factory.mktemp("arrows") / "data", 15)


def _train(data: Path, out: Path, *layers: dict[str, Any]) -> Run:
    return train(data, Recipe.from_settings(OPEN, *layers), out=out)


def _weights(run: Run) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in run.load_model().get_weights()]


def _check_same(one: Run, other: Run) -> None:
    for a, b in zip(_weights(one), _weights(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def arrows_training(arrows: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, str]:
    """A run of the default recipe, read-only by convention; and what was said."""
    with hear() as said:
        run = _train(arrows, tmp_path_factory.mktemp("runs") / "arrows")
    return run, said.getvalue()


@pytest.fixture(scope="module")
def arrows_run(arrows_training: tuple[Run, str]) -> Run:
    return arrows_training[0]


@pytest.mark.parametrize("hidden", [[], [8]], ids=["linear", "hidden layer"])
def test_flips_are_rejected_where_they_turn_one_class_into_the_other(
    hidden: list[int],
    arrows_training: tuple[Run, str],
    arrows: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if hidden:
        run = _train(arrows, tmp_path / "run", {"head": {"hidden": hidden, "dropout": 0.0}})
        said = capsys.readouterr().err
    else:
        run, said = arrows_training
    assert run.recipe.augment.policy == ()
    assert run.recipe.optimizer.name == ("nesterov" if hidden else "lbfgs")
    assert not run.recipe.to_measure
    number = r"(\d+\.\d{4})"
    found = re.search(
        rf"augmentation: log loss {number} without, {number} with photo: .*; none is used", said
    )
    assert found
    without, with_it = map(float, found.groups())
    assert without < with_it
    tried = re.search(r"penalty\.l2: log loss (.*); (\S+) is used", said)
    assert tried
    losses = {
        strength: float(loss)
        for loss, strength in (entry.split(" at ") for entry in tried[1].split(", "))
    }
    assert len(losses) > 2
    assert losses[tried[2]] == min(losses.values())
    assert run.recipe.penalty.l2 == pytest.approx(float(tried[2]), rel=0.06)
    assert run.metrics["val"]["accuracy"] >= 0.8


def test_views_are_used_where_mirror_images_fill_gaps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = _write_slopes(tmp_path / "data", 6)
    settings = {"augment": {"candidate": "textures"}, "features": {"views": 4}}
    run = _train(data, tmp_path / "run", settings)
    assert str(run.recipe.augment).startswith("textures:")
    assert re.search(r"without, .* with textures: .*; it is used", capsys.readouterr().err)


def test_recipe_of_the_run_holds_the_choices_and_repeats_it_without_measuring(
    arrows_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = tomllib.loads(arrows_run.recipe_file.read_text(encoding="utf-8"))
    assert written["augment"]["policy"] == []
    assert isinstance(written["penalty"]["l2"], float)
    assert written["optimizer"]["name"] == "lbfgs"
    arguments = ["train", "--recipe", str(arrows_run.recipe_file), "--out", str(tmp_path / "again")]
    assert run_command(arguments) == 0
    said = capsys.readouterr().err
    assert "log loss" not in said
    assert "computing features" not in said
    _check_same(Run.open(tmp_path / "again"), arrows_run)


def test_resuming_takes_the_choices_of_the_run(
    arrows_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    shutil.copytree(arrows_run.path, out)
    for name in ("metrics.json", "model.keras"):
        (out / name).unlink()
    # The recipe as it was given, settings open.
    again = train(None, _open_recipe(arrows_run), out=out, resume=True)
    assert "log loss" not in capsys.readouterr().err
    _check_same(again, arrows_run)


def _open_recipe(run: Run) -> Recipe:
    return Recipe.from_settings(OPEN, {"data": {"source": run.recipe.source}})


GIVEN: dict[str, tuple[dict[str, Any], set[str]]] = {
    "number": ({"penalty": {"l2": 0.03}}, {"augment.policy"}),
    "no penalty": ({"penalty": {"name": "none"}}, {"augment.policy"}),
    "no policy": ({"augment": {"policy": "none"}}, {"penalty.l2"}),
    "own policy": ({"augment": {"policy": "flip_lr(0.5)"}}, {"penalty.l2"}),
    "no views": ({"features": {"views": 0}}, {"penalty.l2"}),
    "both given": (CLOSED, set()),
}


@pytest.mark.parametrize(("settings", "measured"), GIVEN.values(), ids=GIVEN)
def test_given_setting_is_not_to_be_measured(settings: dict[str, Any], measured: set[str]) -> None:
    recipe = Recipe.from_settings(OPEN, settings).resolve()
    assert recipe.to_measure - {"backbone.levels"} == measured
    open_ = {"augment.policy", "penalty.l2", "backbone.levels"}
    assert Recipe.from_settings(OPEN).resolve().to_measure == open_


VIEWS_OPEN: dict[str, tuple[dict[str, Any], bool]] = {
    "default": ({}, True),
    "own policy": ({"augment": {"policy": "flip_lr(0.5)"}}, True),
    "no policy": ({"augment": {"policy": "none"}}, False),
    "images in every epoch": ({"features": {"use": False}, "penalty": {"name": "none"}}, False),
    "a number": ({"features": {"views": 3}}, False),
}


@pytest.mark.parametrize(("settings", "measured"), VIEWS_OPEN.values(), ids=VIEWS_OPEN)
def test_views_are_measured_where_features_are_augmented(
    settings: dict[str, Any], measured: bool
) -> None:
    layers = {"backbone": {"name": "micro_resnet_s.cifar10"}}, settings
    recipe = Recipe.from_settings(*layers).resolve()
    assert ("features.views" in recipe.to_measure) == measured
    assert recipe.features.views == settings.get("features", {}).get("views", 4)


@pytest.mark.parametrize("hidden", [[], [8]], ids=["linear", "hidden layer"])
def test_views_are_doubled_as_long_as_that_pays(
    hidden: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = _write_slopes(tmp_path / "data", 6)
    settings = {
        "augment": {"candidate": "textures"},
        "features": {"views": "auto"},
        "head": {"hidden": hidden, "dropout": 0.0},
    }
    run = _train(data, tmp_path / "run", settings)
    said = capsys.readouterr().err
    assert run.recipe.augment.policy
    found = re.search(r"features\.views: log loss (.*); (\d) (?:is|are) used", said)
    assert found
    tried = {int(n): float(loss) for loss, n in (e.split(" with ") for e in found[1].split(", "))}
    taken = int(found[2])
    assert run.recipe.features.views == taken
    assert list(tried) == [1, 2, 4, 8][: len(tried)]
    # Each step that was taken gains more than the least gain; the one that was not is the last.
    steps = list(tried)
    gains = {after: tried[before] - tried[after] for before, after in itertools.pairwise(steps)}
    assert all(gain > 0.01 for views, gain in gains.items() if views <= taken)
    assert steps[-1] in (taken, 2 * taken)


@pytest.mark.parametrize("given", ["number", "no penalty", "own policy"])
def test_given_setting_is_not_measured(
    given: str, arrows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, measured = GIVEN[given]
    run = _train(arrows, tmp_path / "run", settings)
    said = capsys.readouterr().err
    for path, name in (("augment.policy", "augmentation"), ("penalty.l2", "penalty.l2")):
        assert (f"{name}: log loss" in said) == (path in measured), said
    if given == "number":
        assert run.recipe.penalty.l2 == 0.03
    if given == "no penalty":
        assert (run.recipe.penalty.name, run.recipe.penalty.l2) == ("none", 0)


def test_too_few_images_keep_the_usual_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_images(tmp_path / "data" / "train", 1).parent
    write_images(data / "val", 2, seed=1)
    run = _train(data, tmp_path / "run")
    assert "too few images to choose settings by" in capsys.readouterr().err
    assert str(run.recipe.augment).startswith("photo:")
    assert not run.recipe.to_measure


def test_several_tasks_take_the_usual_settings() -> None:
    tasks = {"label": {"kind": "single_label"}, "size": {"kind": "regression"}}
    recipe = Recipe.from_settings(OPEN, {"tasks": tasks}).resolve()
    assert not recipe.to_measure
    assert str(recipe.augment).startswith("photo:")
    assert (recipe.optimizer.name, recipe.penalty.name) == ("nesterov", "none")


def test_validation_images_measure_where_there_are_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipelines.training.held_out_scores._MANY", 12)
    data = _write_arrows(tmp_path / "data" / "train", 6).parent
    _write_arrows(data / "val", 8)
    settings = {"features": {"views": 0}, "backbone": {"levels": 1}}
    run = _train(data, tmp_path / "run", settings)
    found = re.search(r"penalty\.l2: log loss (.*); ", capsys.readouterr().err)
    assert found
    best = min(float(entry.split(" at ")[0]) for entry in found[1].split(", "))
    # The very head is fitted in the end: to all training images, with that strength.
    assert run.metrics["val"]["loss"] == pytest.approx(best, rel=0.02, abs=2e-4)


def test_validation_images_do_not_measure_if_they_are_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.training.held_out_scores._MANY", 12)
    data = _write_arrows(tmp_path / "data" / "train", 6).parent
    _write_arrows(data / "val", 8)
    run = _train(data, tmp_path / "run", {"train": {"with_validation": True}})
    assert "val" not in run.metrics
    assert run.metrics["train"]["num_images"] == 28
    assert not run.recipe.to_measure
    assert run.metrics["train"]["accuracy"] >= 0.9
