"""Augmentation preview: rows, captions, agreement with training, and the command."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.augment.policies import AugmentConfig
from pipelines.cli.main import run_command
from pipelines.input_pipeline.datasets import build_views_dataset
from pipelines.recipe.recipe import Recipe
from pipelines.sources.opening.dataset import open_source
from pipelines.training.preview import (
    NUM_IMAGES,
    NUM_PASSES,
    _build_rows,
    preview,
    select_images,
)
from tests.support.tiny import TINY
from zoo.errors import InputError
from zoo.preprocessing import Preprocessing

pytestmark = pytest.mark.train

POLICY = "flip_lr(0.5)|choose(1, rotate(30), brightness(0.3))|pca_noise(1)|erase(0.25)|mixup(1)"
SIZE = 32


def test_rows_show_originals_each_operation_and_training_views(tiny_folder: Path) -> None:
    train = open_source(str(tiny_folder)).train
    transform = Preprocessing(size=SIZE)
    rows = list(_build_rows(train, transform, AugmentConfig(policy=POLICY), 3))
    labels = ["flip_lr(0.5)", "rotate(30)", "brightness(0.3)", "pca_noise(1)", "erase(0.25)"]
    passes = [f"whole policy, pass {number + 1}" for number in range(NUM_PASSES)]
    assert [row.label for row in rows] == ["as validation shows them", *labels, "mixup(1)", *passes]
    assert {(len(row.images), len(row.captions)) for row in rows} == {(NUM_IMAGES, NUM_IMAGES)}
    originals = rows[0].images
    for image, index in zip(originals, select_images(train), strict=True):
        np.testing.assert_array_equal(image, transform(train.read(int(index))))
    # A single operation changes every image, each by its own parameters.
    for image, flipped in zip(originals, rows[1].images, strict=True):
        assert np.abs(flipped.astype(int) - image[:, ::-1]).mean() < 4
    assert all(caption.startswith("degrees ") for caption in rows[2].captions)
    assert len(set(rows[2].captions)) == NUM_IMAGES
    assert not any("noise_offset" in caption for row in rows for caption in row.captions)


def test_preview_shows_images_of_every_class(tiny_folder: Path) -> None:
    train = open_source(str(tiny_folder)).train
    assert set(train.labels[select_images(train)]) == {0, 1, 2}
    assert len(select_images(train.take([4, 1]))) == 2


def test_views_of_the_whole_policy_equal_those_of_training(tiny_folder: Path) -> None:
    train = open_source(str(tiny_folder)).train
    config, transform = AugmentConfig(policy="strong"), Preprocessing(size=SIZE)
    rows = list(_build_rows(train, transform, config, 3))[-NUM_PASSES:]
    # View 0 is the validation view.
    options = {"seed": 3, "views": [1, 2], "batch_size": 100}
    views = np.concatenate(
        list(build_views_dataset(train, transform, config, **options).as_numpy_iterator())
    ).reshape(len(train), 2, SIZE, SIZE, 3)
    for number, row in enumerate(rows[1:]):
        np.testing.assert_array_equal(np.stack(row.images), views[select_images(train), number])


def _check_picture(file: Path) -> None:
    with Image.open(file) as picture:
        assert picture.format == "PNG"
        assert picture.width > 800
        shades = np.asarray(picture.convert("L"))
    assert shades.std() > 20


def test_preview_without_augmentation_writes_a_picture(tiny_folder: Path, tmp_path: Path) -> None:
    recipe = Recipe.from_settings(TINY, {"augment": {"policy": "none"}})
    _check_picture(preview(tiny_folder, recipe, picture=tmp_path / "new" / "preview.png"))


# A policy of one's own, with operations on whole batches; and one by name.
@pytest.mark.parametrize(
    "policy", [POLICY, "photo", "medical", "strong"][: 4 if os.environ.get("ZOO_ALL_ROWS") else 2]
)
def test_command_writes_the_picture_and_logs_the_policy(
    policy: str, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "preview.png"
    settings = ["--set", f"augment.policy={policy}", "--set", "input.size=32"]
    assert run_command(["augment", str(tiny_folder), "--preview", str(file), *settings]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{file}\n"
    said = policy if policy == POLICY else f"{policy}: "
    assert f"augmentation {said}" in captured.err
    _check_picture(file)


def test_picture_path_is_checked_before_the_data(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder; expected a file to write, a PNG"):
        preview("no such data", Recipe(), picture=tmp_path)


def test_command_without_a_picture_names_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["augment", "textures"]) == 2
    assert "--preview" in capsys.readouterr().err
