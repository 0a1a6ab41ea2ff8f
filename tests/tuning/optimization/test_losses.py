"""Losses: value and gradient of every row, compared with its formula in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tuning.optimization.losses import LOSSES, build_loss, default_loss
from zoo.errors import UnknownNameError
from zoo.tasks import TASK_KINDS

GAMMA, SMOOTHING = 1.7, 0.1
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 3, (6, 4))
LABELS = {
    "single_label": np.eye(4)[[0, 1, 2, 3, 1, 1]],
    "multi_label": (RNG.random((6, 4)) < 0.4).astype(float),
    "regression": RNG.normal(0, 1, (6, 4)),
}

Formula = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _focal(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    p = _softmax(z)
    y = y * (1 - SMOOTHING) + SMOOTHING / 4
    return -(y * (1 - p) ** GAMMA * np.log(p)).sum(axis=-1)


def _binary_focal(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    p = 1 / (1 + np.exp(-z))
    y = y * (1 - SMOOTHING) + SMOOTHING / 2
    positive, negative = (1 - p) ** GAMMA * np.log(p), p**GAMMA * np.log(1 - p)
    return -(y * positive + (1 - y) * negative).mean(axis=-1)


def _cross_entropy(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    return -((y * (1 - SMOOTHING) + SMOOTHING / 4) * np.log(_softmax(z))).sum(axis=-1)


def _binary_cross_entropy(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    p = 1 / (1 + np.exp(-z))
    y = y * (1 - SMOOTHING) + SMOOTHING / 2
    return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(axis=-1)


def _huber(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    d = np.abs(y - z)
    return np.where(d <= 1, d * d / 2, d - 0.5).mean(axis=-1)


FORMULAS: dict[str, Formula] = {
    "cross_entropy": _cross_entropy,
    "focal": _focal,
    "binary_cross_entropy": _binary_cross_entropy,
    "binary_focal": _binary_focal,
    "mean_squared_error": lambda y, z: ((y - z) ** 2).mean(axis=-1),
    "mean_absolute_error": lambda y, z: np.abs(y - z).mean(axis=-1),
    "huber": _huber,
}


def _mean_loss(name: str, labels: np.ndarray, logits: Any) -> Any:
    """Computes the mean over the batch, as training does."""
    loss = build_loss(name, label_smoothing=SMOOTHING, focal_gamma=GAMMA, from_logits=True)
    return keras.ops.mean(loss(tf.constant(labels, tf.float32), logits))


def test_formulas_cover_every_loss_and_kind() -> None:
    assert set(FORMULAS) == set(LOSSES)
    assert {loss.kind for loss in LOSSES.values()} == set(TASK_KINDS)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_equals_its_formula(name: str) -> None:
    labels = LABELS[LOSSES[name].kind]
    value = _mean_loss(name, labels, tf.constant(LOGITS, tf.float32))
    assert float(value) == pytest.approx(FORMULAS[name](labels, LOGITS).mean(), rel=1e-5)


@pytest.mark.parametrize("name", [n for n, loss in LOSSES.items() if loss.kind != "regression"])
def test_loss_of_probabilities_equals_that_of_their_logits(name: str) -> None:
    kind = LOSSES[name].kind
    labels = tf.constant(LABELS[kind], tf.float32)
    probabilities = _softmax(LOGITS) if kind == "single_label" else 1 / (1 + np.exp(-LOGITS))
    loss = build_loss(name, label_smoothing=SMOOTHING, focal_gamma=GAMMA)
    value = keras.ops.mean(loss(labels, tf.constant(probabilities, tf.float32)))
    assert float(value) == pytest.approx(FORMULAS[name](LABELS[kind], LOGITS).mean(), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_equals_that_of_the_formula(name: str) -> None:
    labels = LABELS[LOSSES[name].kind]
    logits = tf.Variable(LOGITS, dtype=tf.float32)
    with tf.GradientTape() as tape:
        value = _mean_loss(name, labels, logits)
    found = tape.gradient(value, logits).numpy()
    step = 1e-5
    for i, j in np.ndindex(LOGITS.shape):
        moved = np.zeros_like(LOGITS)
        moved[i, j] = step
        ahead, behind = (FORMULAS[name](labels, LOGITS + s * moved).mean() for s in (1, -1))
        assert found[i, j] == pytest.approx((ahead - behind) / (2 * step), rel=2e-4, abs=2e-6)


@pytest.mark.parametrize(
    ("focal", "plain"), [("focal", "cross_entropy"), ("binary_focal", "binary_cross_entropy")]
)
def test_focal_loss_with_gamma_zero_is_cross_entropy(focal: str, plain: str) -> None:
    labels = tf.constant(LABELS[LOSSES[focal].kind], tf.float32)
    logits = tf.constant(LOGITS, tf.float32)
    one = keras.ops.mean(
        build_loss(focal, label_smoothing=SMOOTHING, focal_gamma=0, from_logits=True)(
            labels, logits
        )
    )
    other = build_loss(plain, label_smoothing=SMOOTHING, from_logits=True)(labels, logits)
    assert float(one) == pytest.approx(float(other), rel=1e-6)


@pytest.mark.parametrize("name", ["focal", "binary_focal"])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("scale", [40.0, 500.0])
def test_focal_loss_has_a_gradient_at_confident_wrong_predictions(
    name: str, gamma: float, scale: float
) -> None:
    # Keras' focal losses clip the probability and have no gradient here.
    logits = tf.Variable([[scale, -scale], [-scale, scale]])
    labels = tf.constant([[0.0, 1.0], [0.0, 1.0]])
    with tf.GradientTape() as tape:
        loss = build_loss(name, focal_gamma=gamma, from_logits=True)
        value = keras.ops.sum(loss(labels, logits))
    wrong, right = tape.gradient(value, logits).numpy()
    assert np.isfinite([wrong, right]).all()
    assert wrong[0] > 0.1
    assert wrong[1] < -0.1
    np.testing.assert_allclose(right, 0, atol=1e-6)


def test_default_loss_of_each_kind() -> None:
    assert [default_loss(kind) for kind in TASK_KINDS] == [
        "cross_entropy",
        "binary_cross_entropy",
        "mean_squared_error",
    ]


def test_unknown_loss_raises_with_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'cross_entropy'"):
        build_loss("crossentropy")
