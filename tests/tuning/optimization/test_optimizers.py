"""Optimizers: steps of every row on a quadratic, compared with its formula in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from pydantic import ValidationError

from tuning.optimization.clipping import CLIPPINGS
from tuning.optimization.optimizer_config import OptimizerConfig, build_optimizer, build_rules
from tuning.optimization.optimizers import OPTIMIZERS
from zoo.errors import UnknownNameError
from zoo.private_api import moving_averages

# A matrix, since some optimizers treat matrices differently from vectors.
CURVATURE = np.array([[1.0, 0.5], [2.0, 0.7], [1.4, 0.2]])
START = np.array([[1.0, -2.0], [0.5, 0.8], [-0.3, 1.5]])
STEPS = 5
IN_KERAS = [name for name, row in OPTIMIZERS.items() if row.keras_class]
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
    # Sutskever et al., 2013, take the gradient at the look-ahead point and store θ; Keras stores
    # the look-ahead point, which takes these steps.
    s["m"] = 0.9 * s.get("m", 0) + RATE * g
    return theta - 0.9 * s["m"] - RATE * g


def _adagrad(theta, g, s, t):  # type: ignore[no-untyped-def]
    # Keras starts the sum of squares at 0.1.
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
    m = s.get("m", np.zeros_like(g))
    s["m"] = 0.99 * m + 0.01 * g
    return theta - RATE * np.sign(0.9 * m + 0.1 * g)


def _adadelta(theta, g, s, t):  # type: ignore[no-untyped-def]
    s["g"] = 0.95 * s.get("g", 0) + 0.05 * g * g
    step = g * np.sqrt(s.get("d", 0) + 1e-7) / np.sqrt(s["g"] + 1e-7)
    s["d"] = 0.95 * s.get("d", 0) + 0.05 * step * step
    return theta - RATE * step


def _adafactor(theta, g, s, t):  # type: ignore[no-untyped-def]
    # Means over rows and over columns factor the squares: Shazeer and Stern, 2018, algorithm 4,
    # with Keras' bound of 1/√t on the rate.
    beta, squares = 1 - t**-0.8, g * g + 1e-30
    s["r"] = beta * s.get("r", 0) + (1 - beta) * squares.mean(axis=1)
    s["c"] = beta * s.get("c", 0) + (1 - beta) * squares.mean(axis=0)
    u = g / np.sqrt(np.outer(s["r"] / s["r"].mean(), s["c"]))
    u = u / max(1, np.sqrt(np.mean(u * u)))
    return theta - min(RATE, 1 / np.sqrt(t)) * max(1e-3, np.sqrt(np.mean(theta * theta))) * u


def _lamb(theta, g, s, t):  # type: ignore[no-untyped-def]
    u = (_adam(0.0, g, s, t)) / -RATE
    return theta - RATE * np.linalg.norm(theta) / np.linalg.norm(u) * u


def _ftrl(theta, g, s, t):  # type: ignore[no-untyped-def]
    # McMahan et al., 2013, with β = 0 and no penalty; Keras starts the sum at 0.1 and
    # z at 0, so the first step starts from where θ would be and not from where it is.
    before = s.get("n", 0.1)
    s["n"] = before + g * g
    s["z"] = s.get("z", 0) + g - (np.sqrt(s["n"]) - np.sqrt(before)) / RATE * theta
    return -s["z"] * RATE / np.sqrt(s["n"])


def _muon(theta, g, s, t):  # type: ignore[no-untyped-def]
    # Jordan et al., 2024: five Newton-Schulz steps towards U Vᵀ of the momentum's U S Vᵀ,
    # taken on the wide side; Keras scales them as Liu et al., 2025, to Adam's size.
    s["m"] = 0.95 * s.get("m", 0) + g
    x = (g + 0.95 * s["m"]).T
    x = x / (np.linalg.norm(x) + 1e-7)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
    return theta - RATE * 0.2 * np.sqrt(max(theta.shape)) * x.T


FORMULAS: dict[str, Step] = {
    "gradient_descent": _sgd,
    "adadelta": _adadelta,
    "adafactor": _adafactor,
    "lamb": _lamb,
    "ftrl": _ftrl,
    "muon": _muon,
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


@pytest.mark.parametrize("name", IN_KERAS)
def test_optimizer_steps_equal_its_formula(name: str) -> None:
    variable = keras.Variable(START.astype(np.float32))
    optimizer = build_optimizer(OptimizerConfig(name=name, learning_rate=RATE))
    theta, memory = START.copy(), {}
    for t in range(1, STEPS + 1):
        gradient = _gradient(variable.numpy()).astype(np.float32)
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        theta = FORMULAS[name](theta, _gradient(theta), memory, t)
    np.testing.assert_allclose(variable.numpy(), theta, atol=1e-5)
    # AdaDelta moves by only 7e-5, so the displacement is compared too.
    np.testing.assert_allclose(variable.numpy() - START, theta - START, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e3])
@pytest.mark.parametrize("name", IN_KERAS)
def test_weights_without_a_gradient_stay(name: str, scale: float) -> None:
    # A unit that never fires, between two of which the gradient is 0 in a row and in a column.
    mask = np.outer([1, 0, 1], [0, 1]).astype(np.float32)
    matrix, vector = (
        keras.Variable(START.astype(np.float32)),
        keras.Variable(np.ones(3, np.float32)),
    )
    unused = keras.Variable(START.astype(np.float32))
    optimizer = build_optimizer(OptimizerConfig(name=name, learning_rate=RATE))
    variables = [matrix, vector, unused]
    for step in range(STEPS):
        rng = np.random.default_rng(step)
        gradient = (scale * rng.normal(size=mask.shape) * mask).astype(np.float32)
        parts = [gradient, gradient[:, 1], np.zeros_like(gradient)]
        optimizer.apply([keras.ops.convert_to_tensor(part) for part in parts], variables)
    assert all(np.isfinite(variable.numpy()).all() for variable in variables)
    if name not in ("ftrl", "muon", "adamw"):  # they move or shrink all weights of a matrix
        np.testing.assert_array_equal(
            matrix.numpy()[mask == 0], START.astype(np.float32)[mask == 0]
        )
        np.testing.assert_array_equal(unused.numpy(), START.astype(np.float32))


@pytest.mark.parametrize("name", IN_KERAS)
def test_completed_config_has_the_default_learning_rate(name: str) -> None:
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


def test_weight_decay_defaults_to_that_of_the_optimizer() -> None:
    assert OptimizerConfig(name="adamw").completed().weight_decay == 0.004
    assert OptimizerConfig(name="adamw", weight_decay=0).completed().weight_decay == 0
    assert OptimizerConfig(name="sgd").completed().weight_decay == 0


def test_ema_is_the_moving_average_from_the_first_step() -> None:
    path, _, optimizer = _five_steps(OptimizerConfig(name="sgd", learning_rate=RATE, ema=0.9))
    average = path[1]
    for theta in path[2:]:
        average = 0.9 * average + 0.1 * theta
    kept = moving_averages(optimizer)[0].numpy()
    np.testing.assert_allclose(kept, average, atol=1e-6)


def test_weight_decay_of_zero_makes_adamw_adam() -> None:
    path, _, _ = _five_steps(OptimizerConfig(name="adamw", learning_rate=RATE, weight_decay=0))
    adam, _, _ = _five_steps(OptimizerConfig(name="adam", learning_rate=RATE))
    np.testing.assert_array_equal(path, adam)


G = [np.array([3.0, -4.0]), np.array([[0.5], [12.0]])]
CLIPPED = {
    "none": G,
    "value": [np.clip(g, -2, 2) for g in G],
    "norm": [g * min(1, 2 / np.linalg.norm(g)) for g in G],
    # √(25 + 144.25) together.
    "global_norm": [g * 2 / np.sqrt(169.25) for g in G],
}


@pytest.mark.parametrize("name", CLIPPINGS)
def test_clipped_gradient_equals_its_formula(name: str) -> None:
    config = OptimizerConfig(name="sgd", learning_rate=1.0, clip=name, clip_value=2.0)
    variables = [keras.Variable(np.zeros(g.shape, np.float32)) for g in G]
    gradients = [keras.ops.convert_to_tensor(g.astype(np.float32)) for g in G]
    build_optimizer(config).apply(gradients, variables)
    for variable, clipped in zip(variables, CLIPPED[name], strict=True):
        np.testing.assert_allclose(variable.numpy(), -clipped, rtol=1e-6)


@pytest.mark.parametrize("name", CLIPPINGS)
def test_gradient_within_the_bound_is_unchanged(name: str) -> None:
    config = OptimizerConfig(name="sgd", learning_rate=1.0, clip=name, clip_value=20.0)
    variable = keras.Variable(np.zeros(2, np.float32))
    build_optimizer(config).apply(
        [keras.ops.convert_to_tensor(G[0].astype(np.float32))], [variable]
    )
    np.testing.assert_allclose(variable.numpy(), -G[0], rtol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adam", "nesterov", "lion"])
def test_accumulated_batches_take_the_step_of_their_mean_gradient(name: str) -> None:
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(6, *START.shape)).astype(np.float32)
    config = OptimizerConfig(name=name, learning_rate=RATE, accumulation_steps=3)
    accumulating, whole = (keras.Variable(START.astype(np.float32)) for _ in range(2))
    optimizer = build_optimizer(config)
    between = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [accumulating])
        between.append(accumulating.numpy())
    optimizer = build_optimizer(config.model_copy(update={"accumulation_steps": 1}))
    for gradient in gradients.reshape(2, 3, *START.shape).mean(axis=1):
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [whole])
    np.testing.assert_array_equal(between[1], START.astype(np.float32))
    np.testing.assert_allclose(accumulating.numpy(), whole.numpy(), rtol=1e-6)


def test_gradient_descent_takes_one_step_an_epoch() -> None:
    config = OptimizerConfig(name="gradient_descent", learning_rate=RATE)
    optimizer = build_optimizer(config, steps_per_epoch=4)
    variable = keras.Variable(np.zeros(1, np.float32))
    for gradient in ([1.0], [2.0], [3.0], [6.0]):
        assert variable.numpy() == 0
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
    assert variable.numpy() == pytest.approx(-RATE * 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"name": "gradient_descent", "accumulation_steps": 2},
            "already accumulates a whole epoch",
        ),
        ({"accumulation_steps": 2, "ema": 0.9}, "ema averages after every batch"),
        ({"name": "gradient_descent", "ema": 0.9}, "ema averages after every batch"),
    ],
)
def test_contradictory_settings_raise(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        OptimizerConfig(**settings)


def test_unknown_optimizer_raises_with_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown optimizer 'adm'\. Did you mean 'adam'"):
        OptimizerConfig(name="adm")


@pytest.mark.parametrize("name", IN_KERAS)
def test_optimizer_without_rules_steps_as_with_them(name: str) -> None:
    config = OptimizerConfig(name=name, weight_decay=0.01)
    trained = []
    for rule_of in (None, build_rules(config)):
        rng = np.random.default_rng(0)
        variables = [
            keras.Variable(rng.normal(size=shape).astype(np.float32), name=variable_name)
            for variable_name, shape in (("kernel", (4, 3)), ("bias", (3,)))
        ]
        optimizer = build_optimizer(config, rule_of=rule_of)
        optimizer.build(variables)
        for _ in range(5):
            gradients = [rng.normal(size=v.shape).astype(np.float32) for v in variables]
            optimizer.apply(gradients, variables)
        trained.append([variable.numpy() for variable in variables])
    for plain, ruled in zip(*trained, strict=True):
        np.testing.assert_array_equal(plain, ruled)


def test_optimizer_by_name_takes_settings_and_is_keras_own_class() -> None:
    optimizer = build_optimizer("adamw", learning_rate=2e-3, weight_decay=0.02)
    assert type(optimizer) is keras.optimizers.Adam
    assert float(optimizer.learning_rate) == pytest.approx(2e-3)
    assert optimizer.weight_decay == 0.02
    with pytest.raises(UnknownNameError, match="Did you mean 'weight_decay'"):
        build_optimizer("adamw", weight_deacy=0.02)


def test_lbfgs_is_not_a_keras_optimizer() -> None:
    with pytest.raises(ValueError, match="lbfgs fits linear heads"):
        build_optimizer("lbfgs")
    config = OptimizerConfig(name="lbfgs").completed().by_gradient_steps
    assert (config.name, config.learning_rate) == ("nesterov", OPTIMIZERS["nesterov"].learning_rate)
