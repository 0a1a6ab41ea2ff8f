"""Mean of fold heads: scikit-learn's heads and answers, fold by fold, and what rests on them."""

from __future__ import annotations

import csv
import json
import mmap
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold

from pipelines.cli.main import run_command
from pipelines.evaluation.evaluate import evaluate
from pipelines.input_pipeline.datasets import build_image_dataset
from pipelines.inspection.report.report import report
from pipelines.recipe.decided_folds import decide_folds
from pipelines.recipe.recipe import Recipe
from pipelines.search.tune import tune
from pipelines.serving.run import Run
from pipelines.sources.source import Examples, join_examples
from pipelines.training.fold_heads import divide
from pipelines.training.prepare import open_images
from pipelines.training.train import train
from tests.pipelines.training.test_convex_training import CONVEX, L2
from tests.support.tiny import write_images
from zoo import large_arrays
from zoo.errors import DataError, RecipeError, RunError
from zoo.models.standardization import Standardization
from zoo.models.trainable import build_pooling_model

pytestmark = pytest.mark.train

FOLDS = 4
SETTINGS: dict[str, Any] = {
    "train": {"folds": FOLDS, "class_weights": "balanced"},
    "calibration": {"method": "temperature"},
    "decision": {"sets": "least_ambiguous", "error_rate": 0.2},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noisy colors, 43 images to train and validate on, of one class few; one has a copy."""
    folder = write_images(tmp_path_factory.mktemp("folds") / "data" / "train", 10).parent
    write_images(folder / "val", 4, seed=1)
    write_images(folder / "test", 4, seed=2)
    more = write_images(folder.with_name("more"), 5, seed=3)
    for number in range(5):
        (folder / "train" / "green" / f"{number:03d}.jpg").unlink()
        shutil.copy(
            more / "blue" / f"{number:03d}.jpg", folder / "train" / "blue" / f"{number}.jpg"
        )
    image = next((folder / "train" / "red").iterdir())
    shutil.copy(image, image.with_name("copy.jpg"))
    return folder


def train_folds(data: Path, out: Path, *layers: dict[str, Any], resume: bool = False) -> Run:
    return train(data, Recipe.from_settings(CONVEX, SETTINGS, *layers), out=out, resume=resume)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_folds(data, tmp_path_factory.mktemp("runs") / "run")


def read_pooled_features(run: Run, examples: Examples) -> np.ndarray:
    images = build_image_dataset(examples, run.recipe.input.preprocessing, 16)
    rows: np.ndarray = build_pooling_model(run.model).predict(images, verbose=0)
    return rows


def read_all(run: Run) -> Examples:
    """Returns a run's images for training and for validation."""
    source = open_images(run.recipe)
    return join_examples([source.train, source.val])


def fit_by_scikit_learn(run: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns kernel and bias of the mean head, and logits and labels of the images held out."""
    both = read_all(run)
    rows = read_pooled_features(run, both)
    logits, kernels, biases = np.zeros((len(both), 3)), [], []
    for fitted, held in divide(both, FOLDS, run.recipe.seed):
        scaler = Standardization.fit(rows[fitted])
        head = LogisticRegression(
            C=1 / (2 * len(fitted) * L2), tol=1e-9, max_iter=5000, class_weight="balanced"
        ).fit(scaler.apply(rows[fitted]), both.labels[fitted])
        logits[held] = head.decision_function(scaler.apply(rows[held]))
        kernels.append(head.coef_.T / scaler.std[:, None])
        biases.append(head.intercept_ - scaler.mean @ kernels[-1])
    return np.mean(kernels, axis=0), np.mean(biases, axis=0), logits, both.labels


def test_head_and_its_answers_are_those_of_scikit_learn(run: Run) -> None:
    kernel, bias, logits, labels = fit_by_scikit_learn(run)
    assert np.bincount(labels).tolist() == [19, 9, 15]
    temperature = run.record["calibration"]["temperature"]
    test = open_images(run.recipe).splits["test"]
    rows = read_pooled_features(run, test)
    expected = softmax((rows @ kernel + bias) / temperature, axis=1)
    head = run.model.get_layer("logits")
    found = softmax(rows @ np.asarray(head.kernel) + np.asarray(head.bias), axis=1)
    np.testing.assert_allclose(found, expected, atol=0.01)
    probabilities = softmax(logits / temperature, axis=1)
    val = run.metrics["val"]
    assert val["num_images"] == len(labels) == 43
    assert val["loss"] == pytest.approx(log_loss(labels, probabilities), rel=0.02)
    hits = int((probabilities.argmax(axis=1) == labels).sum())
    assert val["accuracy"] == pytest.approx(hits / len(labels), abs=0.03)
    assert run.record["calibration"]["num_images"] == 43
    assert run.record["decision"]["num_images"] == 43
    assert "prediction_sets" in val


def test_no_image_is_answered_by_a_head_that_has_seen_it_or_a_copy(run: Run) -> None:
    both = read_all(run)
    seen: list[int] = []
    for fitted, held in divide(both, FOLDS, run.recipe.seed):
        digests = list(both.digests)
        assert not {digests[i] for i in fitted} & {digests[i] for i in held}
        seen += held.tolist()
    assert sorted(seen) == list(range(len(both)))


def test_metrics_name_what_was_held_out(run: Run) -> None:
    assert set(run.metrics) == {"train", "val", "test"}
    assert run.metrics["train"]["num_images"] == 43
    assert run.images == {"train": 43, "test": 12, "skipped": 0}
    counted = run.metrics["val"]["confusion_matrix"]
    assert sum(n for row in counted.values() for n in row.values()) == 43
    with (run.path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 3
    before = run.record["calibration"]["loss"]["before"]
    assert float(rows[-1]["val_loss"]) == pytest.approx(before, rel=0.05)


MEANS = ("loss", "brier", "ece")


def without_means(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name not in MEANS}


def test_images_are_evaluated_by_the_head_that_has_not_seen_them(
    run: Run, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluate(run, data)
    assert "(train: 43 of 43)" in capsys.readouterr().err
    assert {name: split["num_images"] for name, split in found.items()} == {
        "train": 43,
        "val": 43,
        "test": 12,
    }
    # Rounding depends on the order of the images.
    assert without_means(found["val"]) == without_means(run.metrics["val"])
    for name in MEANS:
        assert dict(found["val"])[name] == pytest.approx(dict(run.metrics["val"])[name], rel=1e-9)
    assert found["val"]["loss"] > found["train"]["loss"]
    assert evaluate(run, data, split="val") == {"val": found["val"]}
    assert "too optimistic" not in capsys.readouterr().err
    # Some of the images, wherever they lie; and what is new has no answers of fold heads.
    some = evaluate(run, data / "val")
    assert {name: split["num_images"] for name, split in some.items()} == {"train": 12, "val": 12}
    assert evaluate(run, data, split="all")["all"]["num_images"] == 55


def test_validation_images_that_are_new_are_answered_by_the_model(
    run: Run, data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(data / "train", folder / "train")
    write_images(folder / "val", 3, seed=7)
    found = evaluate(run, folder)
    assert {name: split["num_images"] for name, split in found.items()} == {"train": 31, "val": 9}
    alone = evaluate(run, folder / "val")["all"]
    assert found["val"] == alone
    page = report(run, data=folder, out=tmp_path / "report.html")
    assert "9 validation images" in page.read_text(encoding="utf-8")


def test_export_is_checked_on_the_images(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[bytes] = []

    def take(*_: Any, images: list[Path], **__: Any) -> None:
        given.extend(file.read_bytes() for file in images)

    # The export itself is proven in other tests; here, which images it is given.
    monkeypatch.setattr("pipelines.serving.export.export_savedmodel", take)
    run.export(tmp_path / "model")
    # A copy says nothing more.
    assert "checking it on 42 validation images" in capsys.readouterr().err
    both = read_all(run)
    assert len(given) == 42
    assert set(given) == {both.read(index) for index in range(43)}


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("digests"),
        lambda arrays: arrays.update(digests=arrays["digests"][1:]),
        lambda arrays: arrays.update(probabilities=arrays["probabilities"][:, 1:]),
        lambda arrays: arrays.update(probabilities=arrays["probabilities"].astype(np.float64)),
        lambda arrays: arrays.update(probabilities=np.full((43, 3), np.nan, np.float32)),
        None,
    ],
)
def test_damaged_answers_are_refused(
    change: Callable[[dict[str, Any]], Any] | None, run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(run.path, out)
    file = out / "held_out.npz"
    with np.load(file) as archive:
        arrays = {name: archive[name] for name in archive.files}
    if change:
        change(arrays)
        np.savez(file, **arrays)
    else:
        file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(RunError, match=r"held_out\.npz cannot be used.*train the run again"):
        _ = Run.open(out).held_out


def test_command_says_what_the_folds_say(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(Recipe.from_settings(CONVEX).to_toml(), encoding="utf-8")
    command = ["train", str(data), "--recipe", str(recipe), "--out", str(tmp_path / "run")]
    assert run_command([*command, "--set", "train.folds=3"]) == 0
    shown = capsys.readouterr().out
    assert "val: accuracy" in shown
    assert "43 images" in shown


def test_interrupted_run_ends_the_same(run: Run, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    left_out = shutil.ignore_patterns("metrics.json", "model.keras", "confusion.csv")
    shutil.copytree(run.path, out, ignore=left_out)
    again = train_folds(data, out, resume=True)
    for ours, theirs in zip(
        again.load_model().get_weights(), run.load_model().get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    for part in ("val", "calibration", "decision"):
        assert again.record[part] == run.record[part]
    np.testing.assert_array_equal(
        (out / "held_out.npz").read_bytes(), (run.path / "held_out.npz").read_bytes()
    )


@pytest.mark.parametrize("block_rows", [large_arrays.BLOCK_ROWS, 7])
@pytest.mark.parametrize("num_folds", [FOLDS, 0])
def test_features_on_disk_give_the_weights_of_those_in_memory(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_folds: int, block_rows: int
) -> None:
    monkeypatch.setattr(large_arrays, "BLOCK_ROWS", block_rows)
    views = {"augment": {"policy": "photo"}, "features": {"views": 2}}
    settings = [views, {"train": {"folds": num_folds}}]
    mapped = []

    def map_file(num_bytes: int) -> mmap.mmap:
        mapped.append(num_bytes)
        return original(num_bytes)

    original = large_arrays._map_file
    monkeypatch.setattr(large_arrays, "_map_file", map_file)
    in_memory = train_folds(data, tmp_path / "memory", *settings)
    assert not mapped
    monkeypatch.setattr(large_arrays, "MEMORY_BYTES", 0)
    monkeypatch.setattr("pipelines.features.feature_array._IN_MEMORY_BYTES", 0)
    monkeypatch.setattr("pipelines.features.feature_array._MAPPED_BYTES", 0)
    on_disk = train_folds(data, tmp_path / "disk", *settings)
    assert mapped
    for ours, theirs in zip(
        on_disk.load_model().get_weights(), in_memory.load_model().get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    for part in ("train", "val", "test", "calibration", "decision"):
        assert on_disk.record[part] == in_memory.record[part]


def test_report_says_what_the_folds_say(data: Path, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(run.path, out)
    record = json.loads((out / "metrics.json").read_text())
    del record["test"]
    (out / "metrics.json").write_text(json.dumps(record))
    page = report(out, data=data / "val").read_text(encoding="utf-8")
    assert "answered by the one head that has not seen it" in page
    assert "31 of 43 recorded images are gone" in page
    assert "12 validation images" in page
    recipe = out / "recipe.toml"
    recipe.write_text(recipe.read_text().replace(str(data), str(tmp_path / "gone")))
    page = report(out).read_text(encoding="utf-8")
    assert "43 validation images of" in page


def test_run_of_folds_is_compared_with_one_that_put_images_aside(
    run: Run, data: Path, tmp_path: Path
) -> None:
    aside = train_folds(data / "train", tmp_path / "aside", {"train": {"folds": 0}})
    count = aside.images["val"]
    assert run.metrics["val"]["num_images"] == 43 > count
    page = report(run, aside, data=data / "train", out=tmp_path / "both.html")
    held_out = f"31 validation and {count} validation images"
    said = page.read_text(encoding="utf-8")
    assert f"{held_out}; they are compared on the {count} that both did" in said


def test_best_linear_head_of_a_search_is_the_mean_of_its_folds(data: Path, tmp_path: Path) -> None:
    recipe = Recipe.from_settings(CONVEX, {k: v for k, v in SETTINGS.items() if k != "train"})
    space = {"optimizer.name": ["lbfgs"], "penalty.l2": [0.001, 0.1]}
    # Epochs are those of gradient steps: a linear head is fitted to convergence.
    options: dict[str, Any] = {"trials": 2, "folds": 3, "space": space, "epochs": 1}
    run = tune(data, recipe, out=tmp_path / "run", tuner="grid", **options)
    assert run.recipe.train.folds == 3
    assert not run.recipe.train.with_validation
    assert run.metrics["val"]["accuracy"] == pytest.approx(run.search["best"]["score"], abs=0.01)
    assert run.record["calibration"]["loss"]["before"] == pytest.approx(
        run.search["best"]["loss"], rel=0.05
    )
    asked = recipe.override({"train.folds": 4})  # a search has its own
    kept = tune(
        data, asked, out=tmp_path / "kept", retrain_on_val=False, **{**options, "trials": 1}
    )
    assert kept.recipe.train.folds == 0


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        ({"train": {"folds": 1}}, RecipeError, "folds = 1 leaves nothing to train on"),
        ({"train": {"folds": 2, "with_validation": True}}, RecipeError, "already"),
        ({"head": {"hidden": [4]}}, RecipeError, r"head\.hidden = \[4\].*train\.folds=0"),
        ({"optimizer": {"name": "adam"}}, RecipeError, r"optimizer\.name = 'adam'"),
        ({"train": {"epochs": 9}}, RecipeError, r"optimizer\.name = 'nesterov'"),
        ({"fine_tune": {"blocks": 1}}, RecipeError, r"fine_tune\.blocks = 1"),
        ({"features": {"use": False}}, RecipeError, r"train\.folds takes the mean"),
        ({"train": {"folds": 15}}, DataError, "fewer .* than there are folds"),
    ],
)
def test_what_has_no_mean_is_refused(
    layer: dict[str, Any], error: type[Exception], message: str, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        train_folds(data, tmp_path / "run", layer)
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_folds_are_those_of_scikit_learn_where_no_image_has_a_copy(
    data: Path, tmp_path: Path
) -> None:
    folder = write_images(tmp_path / "plain", 8)
    recipe = Recipe.from_settings(CONVEX, SETTINGS).for_source(folder).resolve()
    source = open_images(recipe)
    expected = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    pairs = expected.split(source.train.labels, source.train.labels)
    for ours, theirs in zip(divide(source.train, FOLDS, recipe.seed), pairs, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("layer", "count", "folds"),
    [
        ({}, 12, 5),
        ({}, 3, 3),
        ({}, 2, 2),
        ({"train": {"folds": 0}}, 12, 0),
        ({"train": {"with_validation": True}}, 12, 0),
        ({"head": {"hidden": [4]}}, 12, 0),
        ({"optimizer": {"name": "adam"}}, 12, 0),
        ({"train": {"epochs": 9}}, 12, 0),
        ({"features": {"use": False}}, 12, 0),
        ({"fine_tune": {"blocks": 1}}, 12, 0),
        ({"data": {"val_fraction": 0.25}}, 12, 0),
        ({"data": {"train_per_class": 4}}, 12, 0),
        ({"data": {"test_fraction": 0.5}}, 12, 5),
    ],
)
def test_folds_are_the_default_of_linear_heads(
    layer: dict[str, Any], count: int, folds: int, tmp_path: Path
) -> None:
    folder = write_images(tmp_path / "data", count)
    recipe = Recipe.from_settings(CONVEX, layer).for_source(folder).resolve()
    decided = decide_folds(recipe, open_images(recipe))
    assert decided.num_folds == decided.train.folds == folds
    assert decided.trains_on_validation == (folds > 0 or decided.train.with_validation)


def test_validation_images_of_the_data_set_stay_apart(data: Path) -> None:
    recipe = Recipe.from_settings(CONVEX).for_source(data).resolve()
    assert recipe.train.folds == "auto"
    assert not recipe.trains_on_validation
    source = open_images(recipe)
    assert decide_folds(recipe, source).train.folds == 0
    many = replace(source, own_val=False, val=source.val.take(np.zeros(1000, np.int64)))
    assert decide_folds(recipe, replace(many, val=many.val.take(range(999)))).train.folds == 5
    assert decide_folds(recipe, many).train.folds == 0
