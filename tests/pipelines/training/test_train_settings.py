"""Settings of training: their effect on the weights of whole runs."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pipelines.input_pipeline.datasets import build_image_dataset
from pipelines.recipe.recipe import Recipe
from pipelines.runtime.devices import prepare_devices
from pipelines.serving.run import Run
from pipelines.sources.opening.dataset import open_source
from pipelines.storage.run_folder import RunFolder
from pipelines.training.train import train
from pipelines.training.trainer import Trainer
from tests.support.checkpoints import copying_checkpoints
from tests.support.tiny import TINY
from zoo.errors import RecipeError

pytestmark = pytest.mark.train

PLAIN = {"head": {"hidden": []}, "augment": {"policy": "none"}}


def _recipe(*layers: Any, **settings: Any) -> Recipe:
    return Recipe.from_settings(TINY, *layers, settings)


def _history(run: Run) -> list[dict[str, str]]:
    with (run.path / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _job(recipe: Recipe, folder: Path, out: Path) -> Trainer:
    recipe = recipe.resolve()
    source = open_source(str(folder), recipe.data, seed=recipe.seed)
    devices = prepare_devices(recipe.device, on_images=recipe.trains_on_images)
    return Trainer(recipe, source, devices, folder=RunFolder(out))


def test_gradient_descent_follows_the_gradient_of_the_whole_training_set(
    tiny_folder: Path, tmp_path: Path
) -> None:
    rate = 0.3
    recipe = _recipe(
        PLAIN,
        optimizer={"name": "gradient_descent", "learning_rate": rate},
        train={"epochs": 1},
    )
    job = _job(recipe, tiny_folder, tmp_path / "run")
    kernel, bias = job.model.classifier.get_layer("logits").get_weights()
    trained, trained_bias = job.fit().get_layer("logits").get_weights()

    # Softmax regression by hand, on the features of the 30 training images; 4 batches of 8.
    examples = job.model.source.train
    preprocessing = job.recipe.input.preprocessing
    images = build_image_dataset(examples, preprocessing, 30)
    pooled = keras.Model(job.model.classifier.input, job.model.classifier.get_layer("pool").output)
    features = pooled.predict_on_batch(next(iter(images)).numpy().astype(np.float32))
    logits = features @ kernel + bias
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    error = (shares - np.eye(3)[examples.labels]) / len(examples)
    np.testing.assert_allclose(trained, kernel - rate * features.T @ error, atol=1e-5)
    np.testing.assert_allclose(trained_bias, bias - rate * error.sum(axis=0), atol=1e-5)


def test_another_seed_starts_from_other_weights(tiny_folder: Path, tmp_path: Path) -> None:
    jobs = [_job(_recipe(PLAIN, seed=seed), tiny_folder, tmp_path / "run") for seed in (0, 0, 1)]
    first, again, other = (job.model.classifier.get_weights() for job in jobs)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_accumulated_batches_are_a_larger_batch(tiny_folder: Path, tmp_path: Path) -> None:
    # Without batch normalization and dropout, in which the batch itself matters.
    large = _recipe(PLAIN, input={"batch_size": 16})
    small = _recipe(PLAIN, input={"batch_size": 8}, optimizer={"accumulation_steps": 2})
    models = [
        train(tiny_folder, recipe, out=tmp_path / name).load_model()
        for name, recipe in (("large", large), ("small", small))
    ]
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_accumulation_beyond_the_last_batch_is_refused_before_anything_is_written(
    tiny_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=r"a phase of 12 batches ends before its first step"):
        train(tiny_folder, _recipe(optimizer={"accumulation_steps": 13}), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_l1_leaves_zeros_and_says_how_many(tiny_folder: Path, tmp_path: Path) -> None:
    penalty = {"name": "l1", "l1": 0.02}
    run = train(tiny_folder, _recipe(penalty=penalty), out=tmp_path / "sparse")
    model, figures = run.load_model(), run.head_weights
    kernels = [model.get_layer(name).get_weights()[0] for name in ("hidden1", "logits")]
    num_zeros = sum(int((kernel == 0).sum()) for kernel in kernels)
    assert num_zeros > 10
    assert figures["num_zeros"] == num_zeros
    assert figures["sparsity"] == pytest.approx(num_zeros / sum(k.size for k in kernels))
    # The first kernel is penalized on standardized features and saved for plain ones.
    norm = float(np.abs(kernels[1]).sum())
    assert figures["layers"]["logits"]["l1_norm"] == pytest.approx(norm, rel=1e-5)
    assert figures["penalty"] == pytest.approx(0.02 * figures["l1_norm"], rel=1e-5)


def test_run_without_l1_has_no_zeros(tiny_run: Run) -> None:
    assert tiny_run.head_weights["num_zeros"] == 0
    assert tiny_run.head_weights["l2_norm"] > 0


def test_epochs_between_validations_are_trained_and_not_compared(
    tiny_folder: Path, tmp_path: Path
) -> None:
    recipe = _recipe(train={"epochs": 5}, stopping={"every": 2})
    run = train(tiny_folder, recipe, out=tmp_path / "run")
    rows = _history(run)
    assert [bool(row["val_loss"]) for row in rows] == [False, True, False, True, True]
    best = min((-float(r["val_accuracy"]), float(r["val_loss"])) for r in rows if r["val_loss"])
    assert run.metrics["val"]["loss"] == pytest.approx(best[1], rel=1e-4)


@pytest.mark.parametrize("name", ["center", "standardize"])
def test_normalization_is_fitted_to_the_training_split_and_saved(
    name: str, tiny_folder: Path, tmp_path: Path
) -> None:
    recipe = _recipe(PLAIN, input={"normalization": name}, train={"epochs": 1})
    run = train(tiny_folder, recipe, out=tmp_path / "run")
    # By hand: the training images as the network sees them, not those of validation.
    source = open_source(str(tiny_folder), recipe.data, seed=recipe.seed)
    preprocessing = run.recipe.input.preprocessing
    shown = [preprocessing(source.train.read(i)).numpy() for i in range(len(source.train))]
    pixels = np.stack(shown).reshape(-1, 3) / 255
    expected = (pixels - pixels.mean(axis=0)) / (pixels.std(axis=0) if name != "center" else 1)
    model = run.load_model()
    normalized = keras.Model(model.input, model.get_layer(name).output)
    received = normalized.predict_on_batch(np.stack(shown).astype(np.float32))
    np.testing.assert_allclose(received.reshape(-1, 3), expected, atol=1e-4)


def test_lower_blocks_change_less(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine_tune = {"blocks": 3, "epochs": 1, "learning_rate": 0.01, "block_decay": 0.1}
    recipe = _recipe(train={"epochs": 1}, fine_tune=fine_tune, optimizer={"name": "adam"})
    job = _job(recipe, tiny_folder, tmp_path / "run")
    names = ("stage3_res2", "stage3_res1", "stage3_conv")
    backbone = job.model.classifier.get_layer("micro_resnet_s")

    def kernels() -> list[np.ndarray]:
        return [backbone.get_layer(name).get_weights()[0] for name in names]

    before = kernels()
    # What the second phase did is looked at, whether or not it was for the better.
    monkeypatch.setattr(job.loop.stopping, "restore_best", lambda model: None)
    job.fit()
    moved = [np.abs(a - b).mean() for a, b in zip(kernels(), before, strict=True)]
    # Adam takes steps of about its rate, which falls tenfold from block to block.
    np.testing.assert_allclose(np.array(moved[1:]) / moved[:-1], 0.1, rtol=0.5)


def test_averaged_head_is_kept_where_fine_tuning_spoils_it(
    tiny_run: Run, tiny_folder: Path, tmp_path: Path
) -> None:
    recipe = _recipe(
        optimizer={"ema": 0.9, "weight_decay": 0.01},
        schedule={"name": "cosine"},
        fine_tune={"blocks": 2, "epochs": 2, "learning_rate": 10.0},
        stopping={"monitor": "val_loss"},
    )
    run = train(tiny_folder, recipe, out=tmp_path / "run")
    losses, rows = {"head": [], "fine_tune": []}, _history(run)
    for row in rows:
        losses[row["phase"]].append(float(row["val_loss"]))
    rates = [float(row["learning_rate"]) for row in rows[: len(losses["head"])]]
    assert rates[0] > rates[-1] == pytest.approx(0, abs=1e-6)
    assert min(losses["head"]) < min(losses["fine_tune"]), "or this shows nothing"
    assert run.metrics["val"]["loss"] == pytest.approx(min(losses["head"]), rel=1e-4)
    # The backbone is what it was before; that of `tiny_run` is not trained.
    ours, untouched = (
        each.load_model().get_layer("micro_resnet_s").get_weights() for each in (run, tiny_run)
    )
    for a, b in zip(ours, untouched, strict=True):
        np.testing.assert_array_equal(a, b)


EVERYTHING: dict[str, Any] = {
    "head": {"activation": "rrelu", "input_dropout": 0.2},
    "optimizer": {
        "name": "adam",
        "learning_rate": 10.0,
        "accumulation_steps": 3,
        "clip": "global_norm",
    },
    "schedule": {"name": "reduce_on_plateau", "patience": 1, "factor": 0.5},
    "penalty": {"name": "elastic_net", "l2": 0.001},
    "stopping": {"monitor": "val_loss", "patience": 3},
    "train": {"epochs": 4},
    "fine_tune": {"blocks": 2, "epochs": 3, "gradual": 2, "learning_rate": 0.01},
}


@pytest.fixture(scope="module")
def whole(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that uses whatever has a state of its own; `after` has what its epochs left."""
    out = tmp_path_factory.mktemp("whole") / "run"
    with copying_checkpoints(out.with_name("after")):
        return train(tiny_folder, _recipe(EVERYTHING), out=out)


def test_blocks_are_unfrozen_one_after_the_other(whole: Run) -> None:
    rows = _history(whole)
    assert [row["phase"] for row in rows] == ["head"] * 4 + ["fine_tune"] * 3
    assert float(rows[4]["learning_rate"]) == pytest.approx(0.01)


def test_rate_is_halved_where_the_loss_did_not_fall(whole: Run) -> None:
    rows = _history(whole)[:4]
    rate, best = 10.0, np.inf
    for row in rows:
        assert float(row["learning_rate"]) == pytest.approx(rate)
        rate /= 1 if float(row["val_loss"]) < best else 2
        best = min(best, float(row["val_loss"]))
    assert rate < 10.0, "it fell at least once, or this shows nothing"


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [2, 6])
def test_killed_run_takes_up_every_state(whole: Run, epochs: int, tmp_path: Path) -> None:
    shutil.copytree(whole.path.with_name("after") / str(epochs), tmp_path / "run")
    assert not (tmp_path / "run" / "model.keras").exists()
    resumed = train(None, whole.recipe, out=tmp_path / "run", resume=True)
    for one, other in zip(
        resumed.load_model().get_weights(), whole.load_model().get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    ours, theirs = (_history(run) for run in (resumed, whole))
    for row in (*ours, *theirs):
        del row["wall_s"]
    assert ours == theirs
