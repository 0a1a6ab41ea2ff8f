"""Activations: value and gradient of every row against its formula in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import erf

from zoo.heads.activations import ACTIVATIONS

# Points on both sides of every kink, none on a kink.
POINTS = np.array([-30.0, -3.2, -1.5, -0.7, -0.2, -0.01, 0.02, 0.3, 0.9, 1.4, 2.7, 30.0])

Function = Callable[[np.ndarray], np.ndarray]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _leaky(slope: float) -> Function:
    return lambda x: np.where(x >= 0, x, slope * x)


# float64 [..., N] to the same.
FORMULAS: dict[str, Function] = {
    "step": lambda x: (x >= 0).astype(float),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": _leaky(0.01),
    # In inference; tests/zoo/test_layers.py covers training.
    "rrelu": _leaky((1 / 8 + 1 / 3) / 2),
    # At its initial slope, as in He et al.
    "prelu": _leaky(0.25),
    "elu": lambda x: np.where(x >= 0, x, np.expm1(np.minimum(x, 0))),
    "softmax": _softmax,
    "selu": lambda x: (
        1.0507009873554805 * np.where(x >= 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0)))
    ),
    # Keras' exact form, not the tanh approximation.
    "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
    "silu": lambda x: x * _sigmoid(x),
    "softplus": lambda x: np.logaddexp(x, 0),
}


def _build(name: str) -> Any:
    inputs = keras.Input((len(POINTS),))
    return keras.Model(inputs, ACTIVATIONS[name].build("activation")(inputs))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_equals_its_formula(name: str) -> None:
    values = np.asarray(_build(name)(POINTS[None].astype(np.float32)))[0]
    np.testing.assert_allclose(values, FORMULAS[name](POINTS), rtol=1e-5, atol=1e-6)


def _numeric_jacobian(function: Function, x: np.ndarray) -> np.ndarray:
    """Central differences, [output, input]."""
    h = 1e-5
    columns = [(function(x + h * e) - function(x - h * e)) / (2 * h) for e in np.eye(len(x))]
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_gradient_equals_central_differences(name: str) -> None:
    model = _build(name)
    x = tf.constant(POINTS[None], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        values = model(x)
    jacobian = tape.jacobian(values, x).numpy()[0, :, 0]
    function = FORMULAS[name]
    if name == "step":
        # The straight-through gradient is that of x between −1 and 1.
        function = lambda x: np.clip(x, -1, 1)  # noqa: E731
    np.testing.assert_allclose(jacobian, _numeric_jacobian(function, POINTS), atol=1e-4)


def test_softmax_does_not_overflow() -> None:
    x = np.zeros((1, len(POINTS)), np.float32)
    x[0, :2] = 3e38, -3e38
    shares = np.asarray(_build("softmax")(x))
    np.testing.assert_array_equal(shares[0], np.eye(len(POINTS))[0])


def test_relu_has_no_gradient_below_zero_and_leaky_relu_has() -> None:
    x = tf.constant(-np.abs(POINTS[None]), tf.float32)
    gradients = {}
    for name in ("relu", "leaky_relu"):
        model = _build(name)
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(model(x))
        gradients[name] = tape.gradient(total, x).numpy()
    assert not gradients["relu"].any()
    np.testing.assert_allclose(gradients["leaky_relu"], 0.01)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_custom_rows_and_no_others_use_a_layer_of_this_project(name: str) -> None:
    layer = ACTIVATIONS[name].build("activation")
    assert ACTIVATIONS[name].custom == type(layer).__module__.startswith("zoo.")
    assert layer.name == "activation"
