"""Linear heads fitted to convergence, and heads of standardized features by gradient steps."""

from __future__ import annotations

import csv
import math
import os
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from pipelines.cli.main import run_command
from pipelines.input_pipeline.datasets import build_image_dataset
from pipelines.recipe.recipe import Recipe
from pipelines.serving.run import Run
from pipelines.training.prepare import open_images
from pipelines.training.train import train
from tests.support.checkpoints import copying_checkpoints
from tests.support.tiny import write_images
from zoo.errors import RecipeError
from zoo.models.standardization import Standardization

L2 = 0.01
# The default recipe with nothing to measure.
CONVEX: dict[str, Any] = {
    "backbone": {"name": "micro_resnet_s.cifar10", "levels": 1},
    "input": {"size": 32},
    "features": {"engine": "keras"},
    "augment": {"policy": "none"},
    "penalty": {"l2": L2},
}
FINE_TUNED: dict[str, Any] = {"fine_tune": {"blocks": 1, "epochs": 2, "learning_rate": 0.001}}


@pytest.fixture(scope="module")
def uneven_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noisy colors, ten images of a class for training, of one only four."""
    folder = write_images(tmp_path_factory.mktemp("uneven") / "data" / "train", 10).parent
    write_images(folder / "val", 8, seed=1)
    for file in sorted((folder / "train" / "red").iterdir())[4:]:
        file.unlink()
    return folder


def _recipe(*layers: dict[str, Any]) -> Recipe:
    return Recipe.from_settings(CONVEX, *layers)


def _train(data: Path, out: Path, *layers: dict[str, Any]) -> Run:
    return train(data, _recipe(*layers), out=out)


@pytest.fixture(scope="module")
def run(uneven_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return _train(uneven_folder, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def fine_tuned_run(uneven_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run, and beside its folder, in `after`, what is there after its epochs."""
    out = tmp_path_factory.mktemp("runs") / "fine_tuned"
    with copying_checkpoints(out.with_name("after")):
        return _train(uneven_folder, out, FINE_TUNED)


def _history(run: Run) -> list[dict[str, str]]:
    with (run.path / "history.csv").open() as file:
        return list(csv.DictReader(file))


def _predict(run: Run) -> dict[str, np.ndarray]:
    """Returns pooled features, probabilities and labels of a run's images, by Keras."""
    model, recipe = run.load_model(), run.recipe
    network = keras.Model(model.input, [model.get_layer("pool").output, model.output])
    source, found = open_images(recipe), {}
    for split in ("train", "val"):
        examples = source.splits[split]
        images = build_image_dataset(examples, recipe.input.preprocessing, 16)
        rows, probabilities = network.predict(images, verbose=0)
        found |= {f"{split}_rows": rows, f"{split}_probabilities": probabilities}
        found[f"{split}_labels"] = examples.labels
    return found


@pytest.mark.train
@pytest.mark.parametrize("class_weights", ["none", "balanced"])
def test_saved_model_answers_as_scikit_learn_on_standardized_features(
    class_weights: str, run: Run, uneven_folder: Path, tmp_path: Path
) -> None:
    if class_weights != run.recipe.train.class_weights:
        run = _train(uneven_folder, tmp_path / "run", {"train": {"class_weights": class_weights}})
    found = _predict(run)
    scaler = Standardization.fit(found["train_rows"])
    # Balanced weights have a mean of 1 over the images in both.
    reference = LogisticRegression(
        C=1 / (2 * len(found["train_rows"]) * L2),
        tol=1e-9,
        max_iter=5000,
        class_weight=class_weights if class_weights == "balanced" else None,
    ).fit(scaler.apply(found["train_rows"]), found["train_labels"])
    expected = reference.predict_proba(scaler.apply(found["val_rows"]))
    np.testing.assert_allclose(found["val_probabilities"], expected, atol=0.01)
    assert run.metrics["val"]["loss"] == pytest.approx(
        log_loss(found["val_labels"], expected), rel=0.02
    )


@pytest.mark.train
def test_history_starts_at_chance_and_has_a_row_an_iteration(run: Run) -> None:
    rows = _history(run)
    assert float(rows[0]["loss"]) == pytest.approx(math.log(3), rel=0.01)
    assert [int(row["epoch"]) for row in rows] == list(range(1, len(rows) + 1))
    assert 3 < len(rows) < run.recipe.train.epochs == 200
    assert {row["phase"] for row in rows} == {"head"}
    assert {row["learning_rate"] for row in rows} == {""}
    assert float(rows[-1]["val_loss"]) == pytest.approx(run.metrics["val"]["loss"], rel=1e-3)
    assert float(rows[-1]["val_accuracy"]) == pytest.approx(run.metrics["val"]["accuracy"])
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])


@pytest.mark.train
def test_saved_model_has_no_trace_of_standardization(run: Run) -> None:
    names = {layer.name for layer in run.load_model().layers}
    assert "standardize" not in names
    assert {"pool", "logits", "probabilities"} <= names
    assert not [name for name in names if "norm" in name and name != "normalization"]


@pytest.mark.train
def test_same_recipe_gives_the_same_bits(run: Run, uneven_folder: Path, tmp_path: Path) -> None:
    _check_same(_train(uneven_folder, tmp_path / "again"), run)


def _check_same(one: Run, other: Run) -> None:
    pairs = zip(one.load_model().get_weights(), other.load_model().get_weights(), strict=True)
    for a, b in pairs:
        np.testing.assert_array_equal(a, b)


@pytest.mark.train
def test_validation_images_are_fitted_to_where_the_recipe_says_so(
    uneven_folder: Path, tmp_path: Path
) -> None:
    run = _train(uneven_folder, tmp_path / "run", {"train": {"with_validation": True}})
    rows = _history(run)
    assert "val_loss" not in rows[0]
    assert run.metrics["train"]["num_images"] == 24 + 24
    assert run.metrics["train"]["accuracy"] > 0.9
    assert float(rows[-1]["loss"]) == pytest.approx(run.metrics["train"]["loss"], rel=0.02)


@pytest.mark.train
def test_iterations_are_at_most_the_epochs_given(uneven_folder: Path, tmp_path: Path) -> None:
    settings = {"optimizer": {"name": "lbfgs"}, "train": {"epochs": 2}}
    assert len(_history(_train(uneven_folder, tmp_path / "run", settings))) == 2


@pytest.mark.train
@pytest.mark.parametrize("use", [True, False][: 2 if os.environ.get("ZOO_ALL_ROWS") else 1])
def test_gradient_steps_start_near_chance(use: bool, uneven_folder: Path, tmp_path: Path) -> None:
    settings = {
        "optimizer": {"name": "sgd", "learning_rate": 1e-5},
        "train": {"epochs": 1},
        "features": {"use": use},
    }
    run = _train(uneven_folder, tmp_path / "run", settings)
    # Glorot's random kernel makes it worse than chance, of new images too.
    assert math.log(3) <= float(_history(run)[0]["loss"]) < 3 * math.log(3)
    assert math.log(3) <= run.metrics["val"]["loss"] < 3 * math.log(3)


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": {"name": "adam"}},
        {"optimizer": {"learning_rate": 0.01}},
        {"optimizer": {"ema": 0.9}},
        {"schedule": {"name": "cosine"}},
        {"train": {"epochs": 5}},
        {"train": {"loss": "focal"}},
        {"train": {"oversample": "balanced"}},
        {"head": {"hidden": [8]}},
        {"head": {"input_dropout": 0.1}},
        {"penalty": {"name": "l1", "l2": 0}},
        {"features": {"use": False}},
        {"backbone": {"frozen": False}},
        {"augment": {"policy": "mixup(0.2)"}},
    ],
    ids=str,
)
def test_whatever_says_how_to_train_asks_for_gradient_steps(settings: dict[str, Any]) -> None:
    recipe = _recipe(settings).resolve()
    name = settings.get("optimizer", {}).get("name", "nesterov")
    assert (recipe.optimizer.name, recipe.is_convex) == (name, False)
    assert recipe.train.epochs == settings.get("train", {}).get("epochs", 30)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"train": {"label_smoothing": 0.1}},
        {"train": {"class_weights": "balanced"}},
        {"train": {"standardize": False}},
        {"stopping": {"patience": 3}},
        {"head": {"pooling": "max"}},
        FINE_TUNED,
    ],
    ids=str,
)
def test_linear_head_left_open_is_fitted_to_convergence(settings: dict[str, Any]) -> None:
    recipe = _recipe(settings).resolve()
    assert (recipe.optimizer.name, recipe.train.epochs) == ("lbfgs", 200)
    again = Recipe.from_settings(recipe.to_settings()).resolve()
    assert again == recipe


@pytest.mark.parametrize(
    ("settings", "received"),
    [
        ({"head": {"hidden": [8]}}, r"head\.hidden = \[8\]"),
        ({"head": {"input_dropout": 0.1}}, r"head\.input_dropout = 0\.1"),
        ({"train": {"loss": "focal"}}, r"train\.loss = 'focal'"),
        ({"train": {"oversample": "balanced"}}, r"train\.oversample = 'balanced'"),
        ({"features": {"use": False}}, r"features\.use = false"),
        (
            {"tasks": {"label": {"kind": "single_label"}, "x": {"kind": "regression"}}},
            r"tasks = label, x",
        ),
    ],
    ids=str,
)
def test_lbfgs_is_refused_where_the_problem_is_not_convex(
    settings: dict[str, Any], received: str
) -> None:
    message = rf"lbfgs fits a linear head .*; expected .*; received {received}; leave optimizer"
    with pytest.raises(RecipeError, match=message):
        _recipe(settings, {"optimizer": {"name": "lbfgs"}}).resolve()


def test_refusal_is_one_line(
    uneven_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", str(uneven_folder), "--out", str(tmp_path / "run")]
    arguments += ["--set", "optimizer.name=lbfgs", "--set", "head.hidden=[8]"]
    assert run_command(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: lbfgs fits a linear head")
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.train
def test_standardization_of_images_is_that_of_features(uneven_folder: Path, tmp_path: Path) -> None:
    settings = {"optimizer": {"name": "adam"}, "train": {"epochs": 2}}
    by_features, by_images = (
        _train(uneven_folder, tmp_path / str(use), settings, {"features": {"use": use}})
        for use in (True, False)
    )
    for a, b in zip(
        by_features.load_model().get_weights(), by_images.load_model().get_weights(), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


@pytest.mark.train
def test_fine_tuning_starts_from_the_fitted_head(run: Run, fine_tuned_run: Run) -> None:
    rows = _history(fine_tuned_run)
    phases = [row["phase"] for row in rows]
    assert phases == [*["head"] * len(_history(run)), "fine_tune", "fine_tune"]
    for row, alone in zip(rows, _history(run), strict=False):
        assert row["loss"] == alone["loss"]
    last, first = rows[-3], rows[-2]
    # Far below chance, which a head with other weights would start from.
    assert float(first["loss"]) < 2 * float(last["loss"]) + 0.1
    assert float(first["learning_rate"]) == pytest.approx(0.001)
    best = min((-float(row["val_accuracy"]), float(row["val_loss"])) for row in rows[-3:])[1]
    assert fine_tuned_run.metrics["val"]["loss"] == pytest.approx(best, rel=1e-3)
    assert fine_tuned_run.metrics["val"]["accuracy"] >= run.metrics["val"]["accuracy"]


@pytest.mark.train
@pytest.mark.parametrize("tuned", [0, 1], ids=["after the fit", "in fine-tuning"])
def test_killed_run_resumes_to_the_very_same_weights(
    tuned: int, fine_tuned_run: Run, tmp_path: Path
) -> None:
    out, whole = tmp_path / "killed", _history(fine_tuned_run)
    num_done = len(whole) - FINE_TUNED["fine_tune"]["epochs"] + tuned
    shutil.copytree(fine_tuned_run.path.with_name("after") / str(num_done), out)
    assert not (out / "model.keras").exists()
    resumed = train(None, out=out, resume=True)
    _check_same(resumed, fine_tuned_run)
    ours = _history(resumed)
    for row in (*ours, *whole):
        del row["wall_s"]
    assert ours == whole
