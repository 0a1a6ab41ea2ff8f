"""Levels of a backbone: read where they help, from one pass, and the same in every later run."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines.input_pipeline.datasets import build_image_dataset
from pipelines.inspection.choose import choose
from pipelines.recipe.recipe import Recipe
from pipelines.search.tune import tune
from pipelines.serving.run import Run
from pipelines.sources.config import DataConfig
from pipelines.sources.opening.dataset import open_source
from pipelines.training.train import train
from tests.support.said import hear
from tests.support.tiny import write_images
from zoo.models.classifier import build_classifier
from zoo.models.trainable import build_pooling_model

pytestmark = pytest.mark.train

NAME, SIZE, MOST = "micro_resnet_s.cifar10", 32, 3
OPEN: dict[str, Any] = {
    "backbone": {"name": NAME},
    "input": {"size": SIZE},
    "augment": {"policy": "none"},
}


def _recipe(*layers: dict[str, Any]) -> Recipe:
    return Recipe.from_settings(OPEN, *layers)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 digits of each class and 60 to validate by.

    Lower blocks tell them apart better than they do the classes of CIFAR-10.
    """
    folder = tmp_path_factory.mktemp("digits")
    source = open_source("digits", DataConfig(train_per_class=20), seed=0)
    for split, count in (("train", 200), ("val", 60)):
        examples = source.splits[split]
        for index, label in enumerate(examples.labels[:count]):
            file = folder / split / source.class_names[label] / f"{index:03d}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(examples.read(index))
    return folder


@pytest.fixture(scope="module")
def digits_training(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, str]:
    """A run whose levels were measured, read-only by convention; and what was said."""
    with hear() as said:
        run = train(digits, _recipe(), out=tmp_path_factory.mktemp("levels") / "run")
    return run, said.getvalue()


@pytest.fixture(scope="module")
def digits_run(digits_training: tuple[Run, str]) -> Run:
    return digits_training[0]


def _rows(digits: Path, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns pooled features of the training images by Keras, and their labels."""
    recipe = _recipe().resolve()
    train = open_source(str(digits), recipe.data, seed=recipe.seed).train
    images = build_image_dataset(train, recipe.input.preprocessing, 32)
    classifier = build_classifier(NAME, 10, size=SIZE, frozen=True, levels=levels)
    return build_pooling_model(classifier).predict(images, verbose=0), train.labels


def test_levels_are_read_where_scikit_learn_finds_them_better(
    digits: Path, digits_training: tuple[Run, str]
) -> None:
    run, said = digits_training
    found = re.search(
        rf"backbone\.levels: log loss (\S+) at 1, (\S+) at {MOST}; {MOST} is used", said
    )
    assert found
    assert run.recipe.backbone.levels == MOST
    for levels, loss in zip((1, MOST), found.groups(), strict=True):
        rows, labels = _rows(digits, levels)
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        best = min(
            -cross_val_score(
                make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000)),
                *(rows, labels),
                cv=folds,
                scoring="neg_log_loss",
            ).mean()
            for strength in np.logspace(-3, 2, 6)
        )
        assert float(loss) == pytest.approx(best, rel=0.2)


def test_run_resumes_with_the_levels_it_chose(
    digits: Path, digits_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = tomllib.loads(digits_run.recipe_file.read_text(encoding="utf-8"))
    assert written["backbone"]["levels"] == MOST
    out = tmp_path / "resumed"
    shutil.copytree(digits_run.path, out)
    for name in ("metrics.json", "model.keras"):
        (out / name).unlink()
    run = train(digits, _recipe(), out=out, resume=True)
    said = capsys.readouterr().err
    assert not re.search("(?<!temperature): log loss", said)
    assert "computing features" not in said
    assert run.recipe.backbone.levels == MOST
    for a, b in zip(
        run.load_model().get_weights(), digits_run.load_model().get_weights(), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_fewer_levels_read_the_same_features(
    digits: Path, digits_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is trained on a part of the stored features is right for the model as a whole."""
    capsys.readouterr()
    run = train(digits, _recipe({"backbone": {"levels": 2}}), out=tmp_path / "run")
    assert "computing features" not in capsys.readouterr().err
    assert run.recipe.backbone.levels == 2
    whole = run.evaluate(digits, split="val")["val"]
    assert run.metrics["val"]["loss"] == pytest.approx(whole["loss"], rel=1e-3)


def test_many_images_are_read_at_the_top_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_images(tmp_path / "data", 12)
    monkeypatch.setattr("pipelines.recipe.levels._MAX_IMAGES", 35)
    run = train(data, _recipe(), out=tmp_path / "run")
    assert "backbone.levels" not in capsys.readouterr().err
    assert run.recipe.backbone.levels == 1
    assert not run.recipe.to_measure


@pytest.mark.parametrize(
    "settings",
    [
        {"backbone": {"levels": 2}},
        {"head": {"hidden": [8]}},
        {"fine_tune": {"blocks": 1, "epochs": 1}},
        {"features": {"use": False}},
        {"tasks": {"label": {"kind": "single_label"}}},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_levels_are_measured_for_linear_heads_on_features_alone(settings: dict[str, Any]) -> None:
    recipe = _recipe(settings).resolve()
    assert "backbone.levels" not in recipe.to_measure
    assert recipe.backbone.levels == settings.get("backbone", {}).get("levels", 1)
    assert "backbone.levels" in _recipe().resolve().to_measure


def test_search_of_other_settings_measures_levels_once(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = {"train.label_smoothing": [0.0, 0.1]}
    run = tune(digits, _recipe(), out=tmp_path / "run", space=space, trials=2)
    assert len(re.findall(r"backbone\.levels: log loss", capsys.readouterr().err)) == 1
    assert run.recipe.backbone.levels == MOST


def test_choose_reads_the_levels_that_training_reads_and_computes_its_features(
    digits: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    ranking = choose(digits, _recipe(), backbones=[NAME])
    assert "computing features" in capsys.readouterr().err
    levels = {row.variant.truncate_blocks: row.variant.levels for row in ranking.rows}
    assert levels == {0: MOST, 2: 2, 3: 1}
    run = train(digits, _recipe(), out=tmp_path / "run")
    assert run.recipe.backbone.levels == MOST
    assert "computing features" not in capsys.readouterr().err
