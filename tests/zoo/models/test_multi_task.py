"""Multi-task model: the outputs of each kind, and each gradient in the shared layers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.support.lean_import import WITHOUT_THEM
from zoo.heads.head import HeadConfig
from zoo.models.blocks import backbone_of, unfreeze_top
from zoo.models.classifier import build_classifier
from zoo.models.multi_task import build_multi_task
from zoo.models.trainable import build_logits_model
from zoo.tasks import Task

TASKS = (
    Task("shape", "single_label", class_names=("disc", "ring", "square")),
    Task("tags", "multi_label", class_names=("a", "b")),
    Task("size", "regression", mean=100.0, std=20.0),
)
HEAD = HeadConfig(hidden=(8,))
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.float32)


def _build(*, frozen: bool = True, **options: Any) -> Any:
    keras.utils.set_random_seed(0)
    return build_multi_task("micro_resnet_s", 32, HEAD, TASKS, frozen=frozen, **options)


def test_predictions_are_those_of_the_logits() -> None:
    model = _build()
    predictions = {name: np.asarray(value) for name, value in model(IMAGES).items()}
    logits = {
        n: np.asarray(v)
        for n, v in build_logits_model(model, frozen=True, tasks=TASKS)(IMAGES).items()
    }
    assert {name: value.shape for name, value in predictions.items()} == {
        "shape": (4, 3),
        "tags": (4, 2),
        "size": (4, 1),
    }
    exps = np.exp(logits["shape"])
    np.testing.assert_allclose(predictions["shape"], exps / exps.sum(1, keepdims=True), atol=1e-6)
    np.testing.assert_allclose(predictions["tags"], 1 / (1 + np.exp(-logits["tags"])), atol=1e-6)
    np.testing.assert_allclose(predictions["size"], 100 + 20 * logits["size"], rtol=1e-6)


def test_trunk_is_shared_and_own_layers_are_not() -> None:
    model = _build(hidden={"tags": (5, 4)})
    names = [layer.name for layer in model.layers]
    assert names.count("hidden1") == 1
    assert {"tags_hidden1", "tags_hidden2", "tags_logits", "shape_logits"} <= set(names)
    assert "shape_hidden1" not in names
    assert model.get_layer("tags_logits").kernel.shape == (4, 2)
    assert model.get_layer("shape_logits").kernel.shape == (8, 3)


@pytest.mark.parametrize("frozen", [True, False])
def test_every_task_teaches_the_trunk_by_its_weight(frozen: bool) -> None:
    import tensorflow as tf

    model = _build(frozen=frozen)
    logits = build_logits_model(model, frozen=frozen, tasks=TASKS)
    hidden = model.get_layer("hidden1").kernel.value
    losses = {
        "shape": keras.losses.CategoricalCrossentropy(from_logits=True),
        "tags": keras.losses.BinaryCrossentropy(from_logits=True),
        "size": keras.losses.MeanSquaredError(),
    }
    weights = {"shape": 1.0, "tags": 0.5, "size": 2.0}
    labels = {
        "shape": np.eye(3, dtype=np.float32)[[0, 1, 2, 0]],
        "tags": np.array([[1, 0], [0, 0], [1, 1], [0, 1]], np.float32),
        "size": np.array([[0.5], [-1], [0], [2]], np.float32),
    }
    logits.compile("sgd", losses, loss_weights=weights)
    with tf.GradientTape() as tape:
        whole = logits.compute_loss(IMAGES, labels, logits(IMAGES, training=False))
    gradient = tape.gradient(whole, hidden).numpy()
    parts = {}
    for name, loss in losses.items():
        with tf.GradientTape() as tape:
            value = loss(labels[name], logits(IMAGES, training=False)[name])
        parts[name] = tape.gradient(value, hidden).numpy()
        assert np.abs(parts[name]).max() > 0
    expected = sum(weights[name] * part for name, part in parts.items())
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.train
def test_frozen_backbone_of_several_tasks_keeps_every_weight() -> None:
    model = _build()
    unfreeze_top(model, "micro_resnet_s", 0)
    network = backbone_of(model, "micro_resnet_s")
    before = [value.copy() for value in network.get_weights()]
    logits = build_logits_model(model, frozen=True, tasks=TASKS)
    logits.compile("sgd", dict.fromkeys(("shape", "tags", "size"), "mse"))
    labels = {task.name: np.ones((4, task.num_outputs), np.float32) for task in TASKS}
    logits.fit(IMAGES, labels, epochs=2, verbose=0)
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.train
def test_saved_models_load_without_this_project(tmp_path: Path) -> None:
    classifier = build_classifier("squeezenet1_1", 3, size=32, head=HEAD, frozen=True)
    models = {"tasks": _build(), "classes": classifier}
    for name, model in models.items():
        model.save(tmp_path / f"{name}.keras")
    np.save(tmp_path / "images.npy", IMAGES)
    code = WITHOUT_THEM + (
        "import keras, numpy as np, sys\n"
        "images = np.load('images.npy')\n"
        "for name in sys.argv[1:]:\n"
        "    found = keras.models.load_model(f'{name}.keras').predict_on_batch(images)\n"
        "    np.savez(f'{name}.npz', **(found if isinstance(found, dict) else {'': found}))\n"
        "assert 'zoo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-I", "-c", code, *models], cwd=tmp_path, check=True)
    for file, model in models.items():
        found = model.predict_on_batch(IMAGES)
        ours = found if isinstance(found, dict) else {"": found}
        with np.load(tmp_path / f"{file}.npz") as theirs:
            assert set(theirs.files) == set(ours)
            for name, value in ours.items():
                np.testing.assert_allclose(theirs[name], value, rtol=1e-6, atol=1e-6)


@pytest.mark.train
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_number_is_learned_on_raw_features_at_a_usual_rate(optimizer: str) -> None:
    # The features of a frozen backbone: hundreds, large, far from 0 and alike.
    rng = np.random.default_rng(0)
    tasks = (Task("size", "regression"),)
    model = build_multi_task("micro_resnet_s", 32, HeadConfig(), tasks, frozen=True)
    head = keras.Model(model.get_layer("pool").output, model.get_layer("size_logits").output)
    hidden = rng.normal(0, 1, (256, 4))
    features = hidden @ rng.normal(0, 5, (4, 128)) + rng.normal(30, 10, 128)
    target = hidden[:, :1] / hidden[:, 0].std()
    built = {
        "sgd": keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        "adam": keras.optimizers.Adam(0.001),
    }[optimizer]
    head.compile(built, "mse", steps_per_execution=8)  # an epoch
    history = head.fit(features, target, batch_size=32, epochs=40, verbose=0).history["loss"]
    assert max(history) < 4, "guessing the mean costs 1"
    assert history[-1] < 0.2
