"""Unknown scores of a run: fitted in training, the same in prediction, evaluation and export."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from pipelines.cli.main import run_command
from pipelines.cli.printing import print_evaluation
from pipelines.input_pipeline.datasets import build_image_dataset
from pipelines.recipe.recipe import Recipe
from pipelines.recipe.sections import UnknownConfig
from pipelines.serving.predict import predict
from pipelines.serving.prediction import Prediction
from pipelines.serving.run import Run
from pipelines.training.fit_unknown import fit_unknown_scorer
from pipelines.training.prepare import open_images
from pipelines.training.train import train
from tests.support.tiny import TINY, write_images
from tuning.unknown_scores import UNKNOWN_METHODS
from zoo.errors import RecipeError, RunError
from zoo.models.trainable import build_pooling_model

pytestmark = pytest.mark.train

SETTINGS: dict[str, Any] = {
    "features": {"engine": "keras"},
    "train": {"epochs": 1},
    "augment": {"policy": "none"},
    "decision": {"sets": "adaptive", "error_rate": 0.2},
}


NUM_KNOWN, NUM_FOREIGN = 30, 12

Features = dict[str, tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("known") / "data"
    write_images(folder / "train", 16)
    write_images(folder / "val", 5, seed=1)
    write_images(folder / "test", NUM_KNOWN // 3, seed=2)
    return folder


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkerboards."""
    folder = tmp_path_factory.mktemp("foreign")
    for number in range(NUM_FOREIGN):
        cells = np.indices((48, 48)).sum(axis=0) // (2 + number % 6) % 2
        Image.fromarray((cells * 255).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(
        data, Recipe.from_settings(TINY, SETTINGS), out=tmp_path_factory.mktemp("runs") / "run"
    )


@pytest.fixture(scope="module")
def features(run: Run) -> Features:
    """Pooled features of each split by Keras, and its classes."""
    model, found = build_pooling_model(run.model), {}
    for split, examples in open_images(run.recipe).splits.items():
        images = build_image_dataset(examples, run.recipe.input.preprocessing, 8)
        found[split] = (model.predict(images, verbose=0), examples.labels)
    return found


@pytest.fixture(scope="module")
def of_known(run: Run, data: Path) -> list[Prediction]:
    """Predictions of the test images."""
    return run.predict(data / "test")


@pytest.fixture(scope="module")
def of_foreign(run: Run, foreign: Path) -> list[Prediction]:
    return run.predict(foreign)


def test_run_keeps_a_scorer_that_equals_scikit_learn(
    run: Run, features: Features, of_known: list[Prediction]
) -> None:
    record = run.record["unknown"]
    assert (record["method"], record["share"], record["num_images"]) == ("neighbors", 0.05, 63)
    known = np.concatenate([features[split][0] for split in ("train", "val")])
    search = NearestNeighbors(n_neighbors=5, metric="cosine").fit(known)
    # k = ⌈64 · 0.95⌉ = 61 of 63 distances, each to the others.
    threshold = np.sort(search.kneighbors()[0][:, -1])[60]
    assert record["threshold"] == pytest.approx(threshold, rel=1e-3)
    distances = search.kneighbors(features["test"][0])[0][:, -1]
    found = [prediction.unknown_score for prediction in of_known]
    np.testing.assert_allclose(found, distances / threshold, rtol=2e-3)
    assert run.metrics["test"]["unknown"]["refused"] == np.mean(np.array(found) > 1)


def test_mahalanobis_distance_equals_scikit_learn(run: Run, features: Features) -> None:
    section = UnknownConfig(method="mahalanobis", share=0.2)
    recipe = run.recipe.model_copy(update={"unknown": section})
    scorer, record = fit_unknown_scorer(run.model, recipe, open_images(recipe), None)
    parts = [features[split] for split in ("train", "val")]
    rows, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    means = np.stack([rows[labels == c].mean(axis=0, dtype=np.float64) for c in range(3)])
    oracle = LedoitWolf(assume_centered=True).fit(rows.astype(np.float64) - means[labels])
    new, _ = features["test"]
    distances = np.sqrt(np.min([oracle.mahalanobis(new - mean) for mean in means], axis=0))
    assert scorer is not None
    assert record["method"] == "mahalanobis"
    expected = distances / record["threshold"]
    np.testing.assert_allclose(scorer.scores(new), expected, rtol=1e-3)
    layer = scorer.build_layer()
    np.testing.assert_allclose(layer(new), expected, rtol=1e-3)


def test_run_opened_anew_reads_the_same(
    run: Run, foreign: Path, of_foreign: list[Prediction]
) -> None:
    again = Run.open(run.path)
    assert again.unknown_scorer is not None
    for name, array in run.unknown_scorer.arrays.items():
        np.testing.assert_array_equal(again.unknown_scorer.arrays[name], array)
    assert again.predict(foreign) == of_foreign


def test_model_file_has_no_layer_more(run: Run) -> None:
    import keras

    model = keras.models.load_model(run.model_file)
    assert len(model.outputs) == 1
    assert not [layer for layer in model.layers if "unknown" in layer.name]


def test_prediction_says_unknown_in_text_and_json(
    run: Run,
    foreign: Path,
    of_known: list[Prediction],
    of_foreign: list[Prediction],
    capsys: pytest.CaptureFixture[str],
) -> None:
    scores = np.array([prediction.unknown_score for prediction in of_foreign])
    assert scores.min() > 1
    assert run_command(["predict", str(run.path), str(foreign), "--top", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for line, score in zip(lines, scores, strict=True):
        assert line.endswith(f"; unknown (score {score:.2f})")
    for prediction in (*of_known, *of_foreign):
        written = json.loads(json.dumps(prediction.to_json()))
        assert written["unknown_score"] == prediction.unknown_score
        assert written["is_unknown"] is (prediction.unknown_score > 1)
        assert ("unknown" in str(prediction)) is written["is_unknown"]
    assert not all(prediction.is_unknown for prediction in of_known)


def test_evaluation_measures_foreign_images(
    run: Run,
    data: Path,
    foreign: Path,
    of_known: list[Prediction],
    of_foreign: list[Prediction],
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["evaluate", str(run.path), str(data), "--split", "test"]
    assert run_command([*command, "--foreign", str(foreign), "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    found = measured["test"]["unknown"]
    known, other = (
        np.array([prediction.unknown_score for prediction in predictions])
        for predictions in (of_known, of_foreign)
    )
    expected = roc_auc_score([0] * NUM_KNOWN + [1] * NUM_FOREIGN, [*known, *other])
    assert found["auroc"] == pytest.approx(expected)
    assert found["num_foreign"] == NUM_FOREIGN
    assert found["foreign_refused"] == np.mean(other > 1)
    assert found["refused"] == run.metrics["test"]["unknown"]["refused"] == np.mean(known > 1)
    low, high = found["refused_interval"]
    assert low < found["refused"] < high

    print_evaluation(measured)
    out = capsys.readouterr().out
    assert f"  unknown            {found['refused']:.4f}  (95 % interval {low:.4f} to" in out
    assert f"  {NUM_FOREIGN} foreign images: unknown 1.0000 (95 % interval" in out
    assert f"  AUROC of the foreign ones by unknown score  {found['auroc']:.4f}\n" in out
    print_evaluation(run.metrics)
    assert "foreign" not in capsys.readouterr().out


@pytest.mark.slow
def test_export_has_the_scores_and_the_sets_of_the_run(
    run: Run, data: Path, foreign: Path, tmp_path: Path
) -> None:
    version = run.export(tmp_path / "model")
    files = sorted(foreign.iterdir())[:5] + sorted((data / "test").rglob("*.jpg"))[:5]
    by_run, by_export = run.predict(files), predict(version, files)
    for ours, theirs in zip(by_run, by_export, strict=True):
        assert theirs.unknown_score == pytest.approx(ours.unknown_score, rel=1e-4)
        assert theirs.is_unknown == ours.is_unknown
        assert theirs.prediction_set == ours.prediction_set is not None
    loaded = tf.saved_model.load(str(version))
    for name in ("serving_default", "serving_bytes"):
        outputs = loaded.signatures[name].structured_outputs
        assert (outputs["unknown_score"].dtype, outputs["unknown_score"].shape.rank) == (
            tf.float32,
            1,
        )
        assert (outputs["is_unknown"].dtype, outputs["is_unknown"].shape.rank) == (tf.bool, 1)
    contents = [files[-1].read_bytes(), b"Dear diary"]
    found = loaded.signatures["serving_bytes"](image_bytes=tf.constant(contents))
    assert found["valid"].numpy().tolist() == [True, False]
    assert np.isnan(found["unknown_score"][1])
    assert found["is_unknown"][1]
    empty = loaded.signatures["serving_bytes"](image_bytes=tf.constant([], tf.string))
    assert empty["unknown_score"].shape == empty["is_unknown"].shape == (0,)


def test_run_without_scores_goes_on_as_before(
    run: Run, data: Path, foreign: Path, of_foreign: list[Prediction], tmp_path: Path
) -> None:
    shutil.copytree(run.path, tmp_path / "old")
    (tmp_path / "old" / "unknown.npz").unlink()
    old = Run.open(tmp_path / "old")
    for ours, before in zip(of_foreign, old.predict(foreign), strict=True):
        assert before.tasks == ours.tasks
        assert before.unknown_score is before.is_unknown is None
        assert set(before.to_json()) == set(ours.to_json()) - {"unknown_score", "is_unknown"}
    assert "unknown" not in old.evaluate(data, split="test")["test"]
    with pytest.raises(RunError, match="old has no unknown scores; expected a run with"):
        old.evaluate(data, split="test", foreign=foreign)


def test_damaged_scorer_is_refused_in_a_line(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    file = tmp_path / "run" / "unknown.npz"
    content = file.read_bytes()
    with np.load(file) as archive:
        arrays = {name: archive[name] for name in archive.files}
    for change in (
        {"bank": arrays["bank"][:, 1:]},
        {"bank": arrays["bank"] * np.float32("nan")},
        {"threshold": np.float64(-1)},
        {},
    ):
        if change:
            np.savez(file, **{**arrays, **change})
        else:
            file.write_bytes(content[:500])
        damaged = Run.open(tmp_path / "run")
        damaged.model = run.model  # loaded once
        with pytest.raises(RunError, match=r"unknown\.npz cannot be used; received .*; train the"):
            _ = damaged.unknown_scorer


def test_trained_backbone_is_judged_by_validation_images_alone(
    run: Run, features: Features, caplog: pytest.LogCaptureFixture
) -> None:
    """Features of training images are closer to each other than those of new ones."""
    source = open_images(run.recipe)
    backbone = run.recipe.backbone.model_copy(update={"frozen": False})
    recipe = run.recipe.model_copy(update={"backbone": backbone})
    with caplog.at_level("INFO"):
        assert fit_unknown_scorer(run.model, recipe, source, None) == (None, {})
    assert caplog.messages[-1].startswith("unknown: 15 images are too few")
    asked = recipe.model_copy(update={"unknown": UnknownConfig(method="mahalanobis", share=0.2)})
    scorer, record = fit_unknown_scorer(run.model, asked, source, None)
    assert record["num_images"] == 15
    assert scorer is not None
    # k = ⌈16 · 0.8⌉ = 13 of 15.
    assert (scorer.scores(features["val"][0]) > 1 + 1e-6).sum() == 2


@pytest.mark.slow
def test_whole_network_trained_from_images_has_scores(data: Path, tmp_path: Path) -> None:
    settings = {"backbone": {"frozen": False}, "unknown": {"method": "neighbors", "share": 0.2}}
    trained = train(
        data,
        Recipe.from_settings(TINY, {**SETTINGS, "features": {}}, settings),
        out=tmp_path / "run",
    )
    assert trained.record["unknown"]["num_images"] == 15
    assert len(trained.unknown_scorer.bank) == 48
    scores = np.array([p.unknown_score for p in trained.predict(data / "val")])
    # k = ⌈16 · 0.8⌉ = 13 of 15; the 13th is just below 1, in any batch.
    assert trained.metrics["val"]["unknown"]["refused"] == np.mean(scores > 1) == 2 / 15
    scores = np.array([p.unknown_score for p in trained.predict(data / "test")])
    assert trained.metrics["test"]["unknown"]["refused"] == pytest.approx(np.mean(scores > 1))


def test_nothing_is_fitted_where_nothing_can_be(run: Run) -> None:
    source = open_images(run.recipe)
    off = run.recipe.model_copy(update={"unknown": UnknownConfig(method="none")})
    assert fit_unknown_scorer(None, off, source, None) == (None, {})
    (task,) = source.tasks
    several = replace(source, tasks=(task, replace(task, name="tint", bare=False)))
    assert fit_unknown_scorer(None, run.recipe, several, None) == (None, {})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"share": 0.0}, r"unknown\.share does not fit; expected .*greater than 0.*; received 0"),
        ({"share": 0.6}, r"unknown\.share does not fit; expected .*0\.5; received 0\.6"),
        ({"method": "energy"}, r"unknown\.method does not fit; expected .*'neighbors'"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.from_settings(TINY, {"unknown": settings})


def test_setting_names_every_method() -> None:
    names = get_args(UnknownConfig.model_fields["method"].annotation)
    assert set(names) == {"auto", "none", *UNKNOWN_METHODS}


def test_several_tasks_have_no_scores() -> None:
    tasks = {"tint": {"kind": "single_label"}, "angle": {"kind": "regression"}}
    recipe = Recipe.from_settings(TINY, {"tasks": tasks})
    assert recipe.resolve().unknown.method == "auto"
    with pytest.raises(RecipeError, match="are those of a plain classifier, and the recipe has"):
        recipe.override({"unknown.method": "neighbors"}).resolve()
