"""Rates: under every optimizer, a factor is a learning rate of the variable's own."""

from __future__ import annotations

from functools import partial

import keras
import numpy as np
import pytest

from tuning.optimizers import OPTIMIZERS, OptimizerConfig, build_optimizer, is_beta
from tuning.rates import with_rates


def _steps(optimizer: keras.Optimizer, start: float) -> np.ndarray:
    """Five steps of two variables on θ², the second at its own rate."""
    variables = [keras.Variable([start], name="kernel"), keras.Variable([start], name="beta")]
    optimizer.build(variables)
    for _ in range(5):
        optimizer.apply([2 * v.value for v in variables], variables)
    return np.array([keras.ops.convert_to_numpy(v)[0] for v in variables])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_variable_moves_as_at_its_own_rate(name: str) -> None:
    row = OPTIMIZERS[name]
    plain = partial(getattr(keras.optimizers, row.keras_class), weight_decay=0.0, **row.arguments)
    scaled_class = with_rates(plain.func, lambda v: 8.0 if is_beta(v) else 1.0)
    scaled = partial(scaled_class, **plain.keywords)
    kernel, beta = _steps(scaled(0.01), 1.0)
    assert kernel == _steps(plain(0.01), 1.0)[0]
    assert beta == pytest.approx(_steps(plain(0.08), 1.0)[1], rel=1e-6)


def test_weight_decay_is_not_scaled() -> None:
    config = OptimizerConfig(name="sgd", learning_rate=0.1, weight_decay=0.5, beta_rate=10)
    optimizer = build_optimizer(config)
    variables = [keras.Variable([1.0], name="kernel"), keras.Variable([1.0], name="beta")]
    optimizer.build(variables)
    optimizer.apply([keras.ops.zeros(1)] * 2, variables)
    assert [v.numpy()[0] for v in variables] == pytest.approx([0.95, 0.95])


def test_shifts_are_found_in_a_network() -> None:
    layers = [keras.layers.Dense(2, name="a"), keras.layers.BatchNormalization(name="b")]
    model = keras.Sequential([keras.Input((3,)), *layers])
    found = [v.path for v in model.trainable_variables if is_beta(v)]
    assert [path.rpartition("/")[2] for path in found] == ["beta"]
