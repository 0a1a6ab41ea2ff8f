"""Signals and gradients of studies, against integrals, chain rule and differences."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from scipy import integrate, optimize, stats

from pipelines.studies.adversarial import gradient_signs
from pipelines.studies.dead_units import dead_share
from pipelines.studies.experiments import two_layers
from pipelines.studies.experiments.digits import NUM_CLASSES, Digits
from pipelines.studies.experiments.gradient_norms import UNITS, gradient_norms
from pipelines.studies.experiments.signals import (
    LAYERS,
    describe,
    forward,
    symmetric_columns,
)
from pipelines.studies.experiments.signals import UNITS as WIDTH
from pipelines.studies.experiments.watched_network import KINDS, WatchedNetwork
from zoo.heads.head import HeadConfig, build_head, initialize_head
from zoo.models.trainable import build_head_model


@pytest.mark.parametrize(
    ("initializer", "variance", "activation", "function"),
    [
        ("he_normal", 2 / WIDTH, "relu", lambda x: np.maximum(x, 0)),
        ("glorot_normal", 1 / WIDTH, "relu", lambda x: np.maximum(x, 0)),
        ("glorot_normal", 1 / WIDTH, "tanh", np.tanh),
    ],
)
def test_mean_square_of_a_signal_is_that_of_the_mean_field(
    initializer: str, variance: float, activation: str, function: Any
) -> None:
    square = 1.0  # of the input, N(0, 1)
    outputs = np.mean(
        [[np.mean(layer**2) for layer in forward(initializer, 0.0, activation, seed)[:4]]
         for seed in range(2)],
        axis=0,
    )  # fmt: skip
    for found in outputs:
        deviation = np.sqrt(WIDTH * variance * square)
        square, _ = integrate.quad(
            lambda z, d=deviation: function(d * z) ** 2 * stats.norm.pdf(z), -8, 8
        )
        assert found == pytest.approx(square, rel=0.15)


def test_saturated_and_dead_shares() -> None:
    first = forward("normal", 1.0, "sigmoid", 0)[0]
    # Of a row, what reaches the units is N(0, |x|²).
    edge = np.log(0.98 / 0.02)
    expected = 2 * stats.norm.sf(edge / np.sqrt(WIDTH))
    assert describe("sigmoid", first)["saturated"] == pytest.approx(expected, abs=0.02)
    outputs = np.array([[0.0, 0.0, 1.0], [0.0, 2.0, 3.0]])
    found = describe("relu", outputs)
    assert found["dead"] == pytest.approx(1 / 3)
    assert found["std"] == pytest.approx(outputs.std())
    assert sum(found["histogram"]) == pytest.approx(1, abs=1e-3)
    assert len(forward("he_normal", 0.0, "relu", 0)) == LAYERS
    assert symmetric_columns() == 0


def test_units_are_dead_if_no_row_reaches_them() -> None:
    rows = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    first = np.array([[1.0, -1.0, 1.0], [2.0, -3.0, -1.0]], np.float32)
    second = np.array([[-1.0, 1.0], [0.0, 0.0], [-1.0, 0.0]], np.float32)
    weights = [first, np.zeros(3), second, np.zeros(2), np.ones((2, 2)), np.zeros(2)]
    assert dead_share(weights, rows) == pytest.approx(2 / 5)


def test_gradient_norms_are_those_of_the_chain_rule_and_of_the_clippings() -> None:
    settings = {"activation": "tanh", "initializer": "glorot_normal"}
    found = gradient_norms(settings, 1, seed=3)
    data = Digits(3)
    head = HeadConfig(**settings, hidden=(UNITS,), dropout=0.0, batch_norm=False)
    maps = keras.Input((1, 1, data.num_features))
    model = build_head_model(keras.Model(maps, build_head(maps, head, NUM_CLASSES)))
    initialize_head(model.layers, 3)
    weights = [weight.astype(np.float64) for weight in model.get_weights()]
    gradients = two_layers.gradients_by_hand(
        weights, data.rows[:256].astype(np.float64), np.eye(NUM_CLASSES)[data.labels[:256]]
    )
    assert found["plain"] == pytest.approx([np.linalg.norm(gradients[0])], rel=1e-4)
    wild = gradient_norms({"activation": "relu", "initializer": "normal",
                           "initializer_stddev": 1.0}, 2, seed=0)  # fmt: skip
    plain = np.array(wild["plain"])
    assert plain.max() > 1
    assert wild["norm"] == pytest.approx(np.minimum(plain, 1), rel=1e-4)
    together = max(1, np.linalg.norm(plain))
    assert wild["global_norm"] == pytest.approx(plain / together, rel=1e-4)
    assert max(wild["largest"]) == pytest.approx(1)


def test_gradients_by_hand_are_those_of_scipy_and_of_tensorflow() -> None:
    weights, x, targets = two_layers.problem(0)
    by_hand = two_layers.gradients_by_hand(weights, x, targets)
    shapes = [weight.shape for weight in weights]

    def loss(flat: Any) -> float:
        parts = np.split(flat, np.cumsum([np.prod(shape) for shape in shapes])[:-1])
        return two_layers.loss_of(
            [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)], x, targets
        )

    flat = np.concatenate([weight.ravel() for weight in weights])
    expected = optimize.approx_fprime(flat, loss, 1e-7)
    np.testing.assert_allclose(np.concatenate([g.ravel() for g in by_hand]), expected, atol=1e-6)
    automatic = two_layers.automatic_gradients(weights, x, targets)
    assert two_layers.relative_error(automatic, by_hand) < 1e-12
    differences = two_layers.finite_differences(weights, x, targets, 1e-5)
    assert two_layers.relative_error(differences, by_hand) < 1e-8


def test_signs_of_a_linear_model_are_those_of_the_formula() -> None:
    rng = np.random.default_rng(0)
    kernel, rows = rng.normal(size=(5, 3)), rng.normal(size=(7, 5)).astype(np.float32)
    labels = rng.integers(0, 3, 7)

    def model(x: Any, training: bool) -> Any:
        return x @ kernel.astype(np.float32)

    exponents = np.exp(rows @ kernel)
    errors = exponents / exponents.sum(axis=1, keepdims=True) - np.eye(3)[labels]
    np.testing.assert_array_equal(gradient_signs(model, rows, labels), np.sign(errors @ kernel.T))


def test_watched_network_normalizes_as_keras_does() -> None:
    rows = Digits(0).rows[:50]
    network = WatchedNetwork(KINDS[1], seed=0)
    _, seen = network(rows, network.draw_shifts())
    normalized = keras.layers.BatchNormalization(epsilon=1e-3)(
        rows @ network.kernels[0], training=True
    )
    np.testing.assert_allclose(seen[0], normalized, atol=1e-4)
    shifted = WatchedNetwork(KINDS[2], seed=0)
    shifts = shifted.draw_shifts()
    _, moved = shifted(rows, shifts)
    np.testing.assert_allclose(moved[0], normalized * shifts[0, 0] + shifts[0, 1], atol=1e-4)
