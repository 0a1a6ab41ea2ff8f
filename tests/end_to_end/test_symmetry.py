"""A backbone that sees each image and its mirror image, from training to the exported model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

import transfer_zoo as tz
from tests.support.tiny import write_images

SETTINGS: dict[str, Any] = {
    "backbone": {"name": "micro_resnet_s.cifar10", "levels": 1, "symmetry": "mirror"},
    "input": {"size": 32},
    "features": {"engine": "keras"},
    "augment": {"policy": "none"},
    "penalty": {"l2": 0.01},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("mirror") / "data", 30)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tz.Run:
    return tz.train(data, tz.Recipe.from_settings(SETTINGS), out=tmp_path_factory.mktemp("r") / "r")


def _mirror(files: list[Path], folder: Path) -> list[Path]:
    """Writes the mirror images, without loss."""
    folder.mkdir()
    paths = [folder / f"{file.stem}.png" for file in files]
    for file, path in zip(files, paths, strict=True):
        with Image.open(file) as image:
            ImageOps.mirror(image).save(path)
    return paths


@pytest.mark.train
def test_mirror_images_have_the_same_answers_and_unknown_scores(
    run: tz.Run, data: Path, tmp_path: Path
) -> None:
    files = sorted((data / "red").iterdir())[:6]
    # The same pixels, without the mirror: JPEG files are decoded in their own way.
    upright = _mirror(_mirror(files, tmp_path / "mirrored"), tmp_path / "upright")
    mirrored = sorted((tmp_path / "mirrored").iterdir())
    ours, theirs = (tz.predict(run, found) for found in (upright, mirrored))
    for one, other in zip(ours, theirs, strict=True):
        assert one.label == other.label
        assert one.probability == pytest.approx(other.probability, abs=1e-5)
        assert other.unknown_score == pytest.approx(one.unknown_score, abs=1e-4)


@pytest.mark.train
def test_export_is_proven_and_the_recipe_kept(run: tz.Run, tmp_path: Path) -> None:
    assert run.recipe.backbone.symmetry == "mirror"
    version = tz.export(run, tmp_path / "model")
    assert (version / "saved_model.pb").is_file()


@pytest.mark.train
def test_best_trial_of_levels_is_what_training_makes_of_its_recipe(
    data: Path, tmp_path: Path
) -> None:
    """A search computes the features of all levels in one pass."""
    space = {"backbone.levels": {"choice": [1, 2]}}
    best = tz.tune(
        data,
        tz.Recipe.from_settings(SETTINGS),
        out=tmp_path / "search",
        trials=2,
        tuner="grid",
        space=space,
        folds=0,
    )
    again = tz.train(data, best.recipe, out=tmp_path / "again")
    assert best.recipe.backbone.symmetry == "mirror"
    pairs = zip(best.load_model().get_weights(), again.load_model().get_weights(), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.train
def test_fine_tuning_keeps_the_symmetry(data: Path, tmp_path: Path) -> None:
    settings = {"fine_tune": {"blocks": 1, "epochs": 1, "learning_rate": 0.001}}
    run = tz.train(data, tz.Recipe.from_settings(SETTINGS, settings), out=tmp_path / "run")
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    model = run.load_model()
    np.testing.assert_allclose(model(images), model(images[:, :, ::-1].copy()), atol=1e-5)


def test_unknown_symmetry_is_named() -> None:
    with pytest.raises(tz.ZooError, match="Did you mean 'mirror'"):
        tz.Recipe.from_settings(SETTINGS, {"backbone": {"symmetry": "miror"}})
