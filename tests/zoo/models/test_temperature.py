"""Temperature folded into the logits: the answers are those of divided logits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax

from zoo.heads.head import HeadConfig
from zoo.models.classifier import build_classifier
from zoo.models.multi_task import build_multi_task
from zoo.models.temperature import fold_temperature
from zoo.models.trainable import build_logits_model
from zoo.models.vector_scaling import fold_vector_scaling
from zoo.tasks import CLASSIFICATION, Task

SIZE = 32
TASKS = (
    Task("kind", "single_label", class_names=("a", "b", "c")),
    Task("tags", "multi_label", class_names=("x", "y")),
    Task("age", "regression", mean=40.0, std=12.0),
)
IMAGES = np.random.default_rng(0).uniform(0, 255, (4, SIZE, SIZE, 3)).astype(np.float32)


@pytest.mark.parametrize("hidden", [(), (6,)], ids=["linear", "hidden"])
def test_classifier_answers_as_its_divided_logits(hidden: tuple[int, ...]) -> None:
    model = build_classifier("micro_resnet_s", 3, size=SIZE, head=HeadConfig(hidden=hidden))
    layer = model.get_layer("logits")
    layer.bias.assign([0.5, -1.0, 2.0])
    logits = np.asarray(build_logits_model(model, frozen=False)(IMAGES, training=False))
    num_layers = len(model.layers)
    fold_temperature(model, 1.7)
    found = np.asarray(model(IMAGES, training=False))
    np.testing.assert_allclose(found, softmax(logits / 1.7, axis=1), rtol=1e-4, atol=1e-6)
    assert len(model.layers) == num_layers
    before = [w.copy() for w in model.get_weights()]
    fold_temperature(model, 1.0, CLASSIFICATION)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_each_task_has_its_own_temperature() -> None:
    model = build_multi_task("micro_resnet_s", SIZE, HeadConfig(), TASKS, frozen=False)
    network = build_logits_model(model, frozen=False, tasks=TASKS)
    logits = {name: np.asarray(v) for name, v in network(IMAGES, training=False).items()}
    ages = np.asarray(model(IMAGES, training=False)["age"])
    fold_temperature(model, 0.5, TASKS[0])
    fold_temperature(model, 3.0, TASKS[1])
    found = {name: np.asarray(v) for name, v in model(IMAGES, training=False).items()}
    np.testing.assert_allclose(found["kind"], softmax(logits["kind"] / 0.5, axis=1), rtol=1e-3)
    np.testing.assert_allclose(found["tags"], expit(logits["tags"] / 3.0), rtol=1e-3)
    np.testing.assert_array_equal(found["age"], ages)


@pytest.mark.parametrize("hidden", [(), (6,)], ids=["linear", "hidden"])
def test_classifier_answers_as_its_scaled_logits(hidden: tuple[int, ...]) -> None:
    model = build_classifier("micro_resnet_s", 3, size=SIZE, head=HeadConfig(hidden=hidden))
    model.get_layer("logits").bias.assign([0.5, -1.0, 2.0])
    logits = np.asarray(build_logits_model(model, frozen=False)(IMAGES, training=False))
    scale, shift = np.array([0.5, 1.0, 2.0]), np.array([0.3, 0.0, -4.0])
    fold_vector_scaling(model, scale, shift)
    found = np.asarray(model(IMAGES, training=False))
    expected = softmax(logits * scale + shift, axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
