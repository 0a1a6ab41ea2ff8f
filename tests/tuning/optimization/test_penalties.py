"""Penalties: value and gradient of every row, compared with its formula, and statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from pydantic import ValidationError
from scipy.optimize import minimize_scalar

from tuning.optimization.optimizer_config import OptimizerConfig, build_optimizer, build_rules
from tuning.optimization.penalties import (
    PENALTIES,
    PenaltyConfig,
    is_kernel,
    soft_threshold,
    summarize_kernels,
)

L1, L2, RATE = 0.03, 0.2, 0.1
START = np.array([[1.0, -2.0], [0.5, -0.001], [0.002, 0.0]])
# Σ runs over all weights, without a factor of a half.
FORMULAS: dict[str, Callable[[np.ndarray], float]] = {
    "none": lambda w: 0.0,
    "l1": lambda w: L1 * np.abs(w).sum(),
    "l2": lambda w: L2 * np.square(w).sum(),
    "elastic_net": lambda w: L1 * np.abs(w).sum() + L2 * np.square(w).sum(),
}
KERAS: dict[str, Any] = {
    "none": keras.regularizers.L1L2(0.0, 0.0),
    "l1": keras.regularizers.L1(L1),
    "l2": keras.regularizers.L2(L2),
    "elastic_net": keras.regularizers.L1L2(L1, L2),
}


def _config(name: str) -> PenaltyConfig:
    row = PENALTIES[name]
    return PenaltyConfig(name=name, l1=L1 if row.l1 else 0, l2=L2 if row.l2 else 0).completed()


@pytest.mark.parametrize("name", PENALTIES)
def test_penalty_equals_its_formula_and_that_of_keras(name: str) -> None:
    config = _config(name)
    kernels = {"a": START[:1].astype(np.float32), "b": START[1:].astype(np.float32)}
    summary = summarize_kernels(kernels, config.l1 or 0, config.l2 or 0)
    assert summary["penalty"] == pytest.approx(FORMULAS[name](START))
    assert summary["penalty"] == pytest.approx(float(KERAS[name](START.astype(np.float32))))


def _step(config: PenaltyConfig, gradient: float = 0.0, path: str = "kernel") -> np.ndarray:
    """Takes one step of plain gradient descent."""
    optimizer = OptimizerConfig(name="sgd", learning_rate=RATE)
    variable = keras.Variable(START.astype(np.float32), name=path)
    built = build_optimizer(optimizer, rule_of=build_rules(optimizer, config))
    built.build([variable])
    built.apply([keras.ops.full(START.shape, gradient)], [variable])
    return np.asarray(variable.numpy(), np.float64)


@pytest.mark.parametrize("name", PENALTIES)
def test_step_follows_the_gradient_of_the_penalty(name: str) -> None:
    moved = _step(_config(name))
    h = 1e-6
    for index in np.ndindex(START.shape):
        # At the kink of |θ| L1 has no gradient, and the step ends at 0.
        if abs(START[index]) < RATE * L1 and name in ("l1", "elastic_net"):
            assert moved[index] == 0
            continue
        shift = np.zeros_like(START)
        shift[index] = h
        slope = (FORMULAS[name](START + shift) - FORMULAS[name](START - shift)) / (2 * h)
        assert moved[index] == pytest.approx(START[index] - RATE * slope, abs=1e-6)


def test_soft_threshold_is_the_proximal_operator() -> None:
    for weight in (-1.0, -0.3, -0.05, 0.0, 0.1, 0.7):
        nearest = minimize_scalar(
            lambda z, w=weight: 0.2 * abs(z) + (z - w) ** 2 / 2,
            bounds=(-2, 2),
            method="bounded",
            options={"xatol": 1e-9},
        )
        received = float(soft_threshold(keras.ops.convert_to_tensor(weight), 0.2))
        assert received == pytest.approx(nearest.x, abs=1e-6)
        assert (received == 0) == (abs(weight) <= 0.2)


def test_l1_holds_a_weight_at_zero_against_a_smaller_gradient() -> None:
    config = PenaltyConfig(name="l1", l1=0.5)
    assert (_step(config, gradient=0.4)[2, 1] == 0) & (_step(config, gradient=-0.4)[2, 1] == 0)
    assert _step(config, gradient=0.6)[2, 1] == pytest.approx(-RATE * 0.1)


@pytest.mark.parametrize("path", ["bias", "gamma", "beta", "alpha"])
def test_penalty_applies_to_kernels_only(path: str) -> None:
    np.testing.assert_array_equal(
        _step(_config("elastic_net"), path=path), START.astype(np.float32)
    )


def test_is_kernel_finds_the_kernels_of_a_network() -> None:
    layers = [
        keras.layers.Conv2D(2, 3),
        keras.layers.SeparableConv2D(2, 3),
        keras.layers.BatchNormalization(),
        keras.layers.PReLU(),
    ]
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    found = [v.name for v in model.trainable_variables if is_kernel(v)]
    assert found == ["kernel", "depthwise_kernel", "pointwise_kernel"]


def test_summarize_kernels_counts_and_measures_weights() -> None:
    summary = summarize_kernels(
        {"a": np.array([[3.0, 0.0]]), "b": np.array([[-4.0], [0.0]])}, 0.1, 0.01
    )
    assert (summary["num_weights"], summary["num_zeros"]) == (4, 2)
    assert summary["sparsity"] == 0.5
    assert (summary["l1_norm"], summary["l2_norm"]) == (7, 5)
    assert summary["penalty"] == pytest.approx(0.7 + 0.25)
    assert summary["layers"]["a"] == {
        "num_weights": 2,
        "num_zeros": 1,
        "sparsity": 0.5,
        "l1_norm": 3,
        "l2_norm": 3,
    }


@pytest.mark.parametrize("name", PENALTIES)
def test_completed_config_has_default_strengths(name: str) -> None:
    row, config = PENALTIES[name], PenaltyConfig(name=name).completed()
    assert (config.l1, config.l2) == (row.l1, row.l2)
    assert (config.backbone_l1, config.backbone_l2) == (row.l1, row.l2)
    assert config.has_l1 == (row.l1 > 0)
    assert config.completed() == config


def test_backbone_strength_defaults_to_that_of_the_head() -> None:
    config = PenaltyConfig(name="elastic_net", l1=0.5, backbone_l2=0.0).completed()
    usual = PENALTIES["elastic_net"].l2
    assert (config.backbone_l1, config.l2, config.backbone_l2) == (0.5, usual, 0.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"l1": 0.1},
            r"name = 'l2' has no l1; expected l1 = 0, or another name: l1, elastic_net",
        ),
        ({"name": "l2", "backbone_l1": 0.1}, r"name = 'l2' has no backbone_l1"),
        ({"name": "l1", "l2": 0.1}, r"name = 'l1' has no l2; .* l2, elastic_net"),
    ],
)
def test_strength_of_a_missing_term_raises(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PenaltyConfig(**settings)
