"""Optimizers: every row against its formula in NumPy, on a quadratic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from tuning.optimizers import OPTIMIZERS, OptimizerConfig, build_optimizer
from zoo.errors import UnknownNameError

CURVATURE = np.array([1.0, 0.5, 2.0])
START = np.array([1.0, -2.0, 0.5])
STEPS = 5
RATE = 0.01

Step = Callable[[np.ndarray, np.ndarray, dict[str, np.ndarray], int], np.ndarray]


def _gradient(theta: np.ndarray) -> np.ndarray:
    return CURVATURE * theta


def _sgd(theta, g, s, t):  # type: ignore[no-untyped-def]
    return theta - RATE * g


def _momentum(theta, g, s, t):  # type: ignore[no-untyped-def]
    s["m"] = 0.9 * s.get("m", 0) + RATE * g
    return theta - s["m"]


def _nesterov(theta, g, s, t):  # type: ignore[no-untyped-def]
    # The notes look ahead from θ; Keras keeps the looked-ahead point itself as the
    # variable (Sutskever et al., 2013, rewritten), which takes these steps.
    s["m"] = 0.9 * s.get("m", 0) + RATE * g
    return theta - 0.9 * s["m"] - RATE * g


def _adagrad(theta, g, s, t):  # type: ignore[no-untyped-def]
    # Keras starts the sum at 0.1.
    s["s"] = s.get("s", 0.1) + g * g
    return theta - RATE * g / np.sqrt(s["s"] + 1e-7)


def _rmsprop(theta, g, s, t):  # type: ignore[no-untyped-def]
    s["s"] = 0.9 * s.get("s", 0) + 0.1 * g * g
    return theta - RATE * g / np.sqrt(s["s"] + 1e-7)


def _adam(theta, g, s, t):  # type: ignore[no-untyped-def]
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["s"] = 0.999 * s.get("s", 0) + 0.001 * g * g
    m, v = s["m"] / (1 - 0.9**t), s["s"] / (1 - 0.999**t)
    return theta - RATE * m / (np.sqrt(v) + 1e-8)


def _adamw(theta, g, s, t):  # type: ignore[no-untyped-def]
    # Keras decays by 0.004 × rate before the step.
    return _adam(theta * (1 - 0.004 * RATE), g, s, t)


def _nadam(theta, g, s, t):  # type: ignore[no-untyped-def]
    # Dozat, 2016, with Keras' schedule of the momentum.
    u, following = (0.9 * (1 - 0.5 * 0.96**k) for k in (t, t + 1))
    s["p"] = s.get("p", 1.0) * u
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["s"] = 0.999 * s.get("s", 0) + 0.001 * g * g
    m = following * s["m"] / (1 - s["p"] * following) + (1 - u) * g / (1 - s["p"])
    return theta - RATE * m / (np.sqrt(s["s"] / (1 - 0.999**t)) + 1e-8)


def _adamax(theta, g, s, t):  # type: ignore[no-untyped-def]
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["u"] = np.maximum(0.999 * s.get("u", 0), np.abs(g))
    return theta - RATE / (1 - 0.9**t) * s["m"] / (s["u"] + 1e-7)


def _lion(theta, g, s, t):  # type: ignore[no-untyped-def]
    m = s.get("m", np.zeros(3))
    s["m"] = 0.99 * m + 0.01 * g
    return theta - RATE * np.sign(0.9 * m + 0.1 * g)


FORMULAS: dict[str, Step] = {
    "sgd": _sgd,
    "momentum": _momentum,
    "nesterov": _nesterov,
    "adagrad": _adagrad,
    "rmsprop": _rmsprop,
    "adam": _adam,
    "adamw": _adamw,
    "nadam": _nadam,
    "adamax": _adamax,
    "lion": _lion,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_steps_are_its_formula(name: str) -> None:
    variable = keras.Variable(START.astype(np.float32))
    optimizer = build_optimizer(OptimizerConfig(name=name, learning_rate=RATE))
    theta, memory = START.copy(), {}
    for t in range(1, STEPS + 1):
        gradient = _gradient(variable.numpy()).astype(np.float32)
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        theta = FORMULAS[name](theta, _gradient(theta), memory, t)
    np.testing.assert_allclose(variable.numpy(), theta, atol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_completed_config_spells_the_learning_rate_out(name: str) -> None:
    config = OptimizerConfig(name=name).completed()
    assert config.learning_rate == OPTIMIZERS[name].learning_rate
    assert float(build_optimizer(config).learning_rate) == pytest.approx(config.learning_rate)


def _five_steps(config: OptimizerConfig) -> tuple[np.ndarray, keras.Variable, Any]:
    variable = keras.Variable(START.astype(np.float32))
    optimizer = build_optimizer(config)
    path = [START]
    for _ in range(STEPS):
        gradient = _gradient(variable.numpy()).astype(np.float32)
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        path.append(variable.numpy())
    return np.array(path), variable, optimizer


def test_weight_decay_is_decoupled() -> None:
    config = OptimizerConfig(name="sgd", learning_rate=RATE, weight_decay=0.1)
    path, _, _ = _five_steps(config)
    theta = START.copy()
    for _ in range(STEPS):
        theta = theta * (1 - RATE * 0.1)
        theta = theta - RATE * _gradient(theta / (1 - RATE * 0.1))
    np.testing.assert_allclose(path[-1], theta, atol=1e-6)


def test_weight_decay_left_out_is_the_optimizers_own() -> None:
    assert OptimizerConfig(name="adamw").completed().weight_decay == 0.004
    assert OptimizerConfig(name="adamw", weight_decay=0).completed().weight_decay == 0
    assert OptimizerConfig(name="sgd").completed().weight_decay == 0


def test_ema_is_the_running_average_that_starts_at_the_first_step() -> None:
    path, _, optimizer = _five_steps(OptimizerConfig(name="sgd", learning_rate=RATE, ema=0.9))
    average = path[1]
    for theta in path[2:]:
        average = 0.9 * average + 0.1 * theta
    kept = optimizer._model_variables_moving_average[0].numpy()
    np.testing.assert_allclose(kept, average, atol=1e-6)


def test_unknown_optimizer_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown optimizer 'adm'\. Did you mean 'adam'"):
        OptimizerConfig(name="adm")
