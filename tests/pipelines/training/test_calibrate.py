"""Calibration after training: an overconfident head, its figures, and that it repeats exactly."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from pipelines.cli.main import run_command
from pipelines.cli.printing import print_evaluation
from pipelines.evaluation.predictions import compute_predictions
from pipelines.inspection.report.report import report
from pipelines.recipe.presets import HEADS
from pipelines.recipe.recipe import Recipe
from pipelines.recipe.sections import CalibrationConfig
from pipelines.serving.run import Run
from pipelines.training.calibrate import calibrate
from pipelines.training.prepare import open_images
from pipelines.training.train import train
from tests.pipelines.training.test_convex_training import CONVEX
from tests.support.tiny import CLASSES, TINY, write_images
from zoo.models.trainable import build_logits_model

pytestmark = pytest.mark.train

SETTINGS: dict[str, Any] = {
    "head": {"hidden": [16]},
    "features": {"engine": "keras"},
    "train": {"epochs": 12},
    "augment": {"policy": "none"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Colors; of 60 validation images a third lie in the folder of another color."""
    folder = tmp_path_factory.mktemp("mistaken") / "data"
    write_images(folder / "train", 8)
    write_images(folder / "val", 20, seed=1)
    for here, there in zip(CLASSES, (*CLASSES[1:], CLASSES[0]), strict=True):
        for number in range(7):
            name = f"{number:03d}.jpg"
            (folder / "val" / here / name).rename(folder / "val" / there / f"moved_{name}")
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = Recipe.from_settings(TINY, dict(HEADS["classic"].settings), SETTINGS)
    return train(data, recipe, out=tmp_path_factory.mktemp("runs") / "run")


def _unfinished(run: Run, out: Path, method: str) -> Recipe:
    """Copies a run as it was after its last epoch; returns its recipe with a method."""
    shutil.copytree(run.path, out, ignore=shutil.ignore_patterns("metrics.json", "model.keras"))
    recipe = Recipe.of(run.recipe).override({"calibration.method": method})
    (out / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
    return recipe


@pytest.fixture(scope="module")
def plain(run: Run, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same run without calibration."""
    out = tmp_path_factory.mktemp("runs") / "plain"
    return train(data, _unfinished(run, out, "none"), out=out, resume=True)


def test_overconfident_head_gets_less_sure_and_better(run: Run, plain: Run) -> None:
    record = run.record["calibration"]
    assert record["temperature"] == record["fitted"] > 1.2
    assert record["num_images"] == 60
    for metric in ("loss", "brier", "ece"):
        assert record[metric]["after"] < record[metric]["before"]
        assert record[metric]["before"] == pytest.approx(plain.metrics["val"][metric], rel=1e-3)
    assert run.metrics["val"]["loss"] < plain.metrics["val"]["loss"] - 0.01
    for split in ("train", "val"):
        assert run.metrics[split]["accuracy"] == plain.metrics[split]["accuracy"]
    assert run.head_weights == plain.head_weights


def test_only_the_logits_are_divided(run: Run, plain: Run) -> None:
    assert "calibration" not in plain.record
    one, other = run.load_model(), plain.load_model()
    temperature = run.record["calibration"]["temperature"]
    for layer in other.layers:
        for mine, theirs in zip(
            one.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True
        ):
            if layer.name == "logits":
                theirs = (theirs.astype(np.float64) / temperature).astype(np.float32)
            np.testing.assert_array_equal(mine, theirs)


def test_resumed_run_is_calibrated_alike(run: Run, data: Path, tmp_path: Path) -> None:
    again = train(
        data, _unfinished(run, tmp_path / "run", "auto"), out=tmp_path / "run", resume=True
    )
    assert again.record["calibration"] == run.record["calibration"]
    assert again.metrics == run.metrics
    for one, other in zip(
        again.load_model().get_weights(), run.load_model().get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_images_give_the_temperature_of_features(
    run: Run, plain: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """A fine-tuned backbone, and one in mixed precision, is calibrated on images."""
    model, source = plain.load_model(), open_images(run.recipe)
    with caplog.at_level(logging.INFO):
        record = calibrate(model, run.recipe, source, None)
    used = f"{record['temperature']:.3g} is used"
    assert [line for line in caplog.messages if line.startswith("temperature: log loss ")]
    assert caplog.messages[-1].endswith(used)
    assert record["temperature"] == pytest.approx(run.record["calibration"]["temperature"], 1e-3)
    predicted = compute_predictions(model, run.recipe, source.val, source.tasks)["label"]
    loss = -np.log(predicted[np.arange(60), source.val.labels]).mean()
    assert loss == pytest.approx(run.metrics["val"]["loss"], rel=1e-3)

    # What is calibrated already stays as it is, unless it is asked for.
    weights = [w.copy() for w in model.get_weights()]
    assert calibrate(model, run.recipe, source, None)["temperature"] == 1
    for one, other in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    few = replace(source, val=source.val.take(range(12)))
    assert calibrate(model, run.recipe, few, None) == {}
    assert caplog.messages[-1].startswith("temperature: 12 validation images are too few")
    asked = run.recipe.model_copy(update={"calibration": CalibrationConfig(method="temperature")})
    assert calibrate(model, asked, few, None)["num_images"] == 12


def test_validation_images_that_are_trained_on_calibrate_nothing(run: Run) -> None:
    section = run.recipe.train.model_copy(update={"with_validation": True})
    source = open_images(run.recipe)
    assert calibrate(None, run.recipe.model_copy(update={"train": section}), source, None) == {}


def test_evaluate_shows_brier_score_and_calibration_error(
    run: Run, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", str(run.path), str(data), "--split", "val"]
    assert run_command([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["val"]
    for metric in ("loss", "brier", "ece"):
        assert found[metric] == pytest.approx(run.metrics["val"][metric], rel=1e-4)
    print_evaluation({"val": found})
    out = capsys.readouterr().out
    assert f"  Brier score        {found['brier']:.4f}\n" in out
    assert f"  calibration error  {found['ece']:.4f}\n" in out


def test_vector_scaling_is_that_of_the_plain_logits(run: Run, plain: Run, tmp_path: Path) -> None:
    out = tmp_path / "vector"
    scaled = train(run.recipe.source, _unfinished(run, out, "vector"), out=out, resume=True)
    record = scaled.record["calibration"]
    assert "temperature" not in record
    assert record["num_images"] == 60
    assert record["loss"]["after"] < record["loss"]["before"]
    scale, shift = (np.array([*record[key].values()]) for key in ("scale", "shift"))
    assert [*record["scale"]] == [*record["shift"]] == list(run.class_names)
    val = open_images(run.recipe).splits["val"]
    network = build_logits_model(plain.load_model(), frozen=False)
    logits = compute_predictions(network, run.recipe, val, run.tasks)["label"]
    after = compute_predictions(scaled.model, run.recipe, val, run.tasks)["label"]
    np.testing.assert_allclose(after, softmax(logits * scale + shift, axis=1), atol=1e-4)
    page = report(scaled, out=tmp_path / "report.html").read_text(encoding="utf-8")
    assert "vector scaling" in page


def test_answers_of_fold_heads_are_scaled_as_the_model_is(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", 20)
    recipe = Recipe.from_settings(CONVEX, {"calibration": {"method": "vector"}})
    run = train(data, recipe, out=tmp_path / "run")
    assert run.recipe.num_folds == 5
    record = run.record["calibration"]
    assert record["num_images"] == 60
    assert run.metrics["val"]["loss"] < record["loss"]["before"]
