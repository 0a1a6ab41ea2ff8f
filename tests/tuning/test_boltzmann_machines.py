"""Boltzmann machines, compared with formulas in NumPy and with likelihoods by enumeration."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from tuning.boltzmann_machines import BoltzmannStack


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _images(count: int = 24, size: int = 12) -> Any:
    """Draws images whose left or right half is on."""
    rng = np.random.default_rng(0)
    left = rng.random((count, 1)) < 0.5
    halves = np.arange(size) < size // 2
    return np.where(left == halves, 0.9, 0.1).astype(np.float32)


def _stack(data: Any, units: Any = (5,), **settings: Any) -> BoltzmannStack:
    return BoltzmannStack(
        data, units, **{"learning_rate": 0.1, "batch_size": 8, "seed": 3} | settings
    )


def test_epoch_is_persistent_contrastive_divergence() -> None:
    data = _images()
    stack = _stack(data)
    stack.train_epoch(0, 0)
    before = {name: value.astype(np.float64) for name, value in stack.state().items()}
    stack.train_epoch(0, 1)

    # Tieleman, 2008: the data minus a chain that continues from its last state.
    w, b, c, h = (before[f"{name}_0"] for name in ("kernel", "visible", "hidden", "chain"))
    rng = np.random.RandomState(np.random.MT19937(np.random.SeedSequence([3, 0, 2])))
    for batch in rng.permutation(24).reshape(3, 8):
        v = data[batch].astype(np.float64)
        positive = _sigmoid(v @ w.T + c)
        sampled = (rng.random_sample((8, 12)) < _sigmoid(h @ w + b)).astype(np.float64)
        negative = _sigmoid(sampled @ w.T + c)
        w = w + 0.1 * (positive.T @ v - negative.T @ sampled) / 8
        c = c + 0.1 * (positive - negative).mean(axis=0)
        b = b + 0.1 * (v - sampled).mean(axis=0)
        h = (rng.random_sample((8, 5)) < negative).astype(np.float64)
    after = stack.state()
    for name, expected in (("kernel", w), ("visible", b), ("hidden", c), ("chain", h)):
        np.testing.assert_allclose(after[f"{name}_0"], expected, rtol=1e-4, atol=1e-5)


def _log_likelihood(stack: BoltzmannStack, data: Any) -> float:
    """Computes the mean of log p(v), by a sum over all states."""
    w, b, c = (
        stack.state()[f"{name}_0"].astype(np.float64) for name in ("kernel", "visible", "hidden")
    )

    def free_energy(v: Any) -> Any:
        return -(v @ b) - np.logaddexp(0, v @ w.T + c).sum(axis=1)

    states = np.array(list(product((0.0, 1.0), repeat=data.shape[1])))
    log_z = np.logaddexp.reduce(-free_energy(states))
    return float(np.mean(-free_energy(data) - log_z))


def test_training_raises_the_likelihood_of_the_data() -> None:
    data = np.round(_images(40, 8))
    stack = _stack(data, (4,), learning_rate=0.05, batch_size=40)
    stack.train_epoch(0, 0)
    early = _log_likelihood(stack, data)
    for epoch in range(1, 600):
        stack.train_epoch(0, epoch)
    late = _log_likelihood(stack, data)
    # Independent pixels reach -8 log 2; two patterns of half the images each, -log 2.
    assert early == pytest.approx(-8 * np.log(2), abs=0.3)
    assert -3 < late < -np.log(2) + 0.05


def test_encode_and_reconstruct_equal_their_formulas() -> None:
    data = _images()
    stack = _stack(data, (5, 3))
    for layer in (0, 1):
        stack.train_epoch(layer, 0)
    (w1, c1), (w2, c2) = stack.weights()
    assert (w1.shape, w2.shape) == ((12, 5), (5, 3))
    hidden = _sigmoid(_sigmoid(data @ w1 + c1) @ w2 + c2)
    np.testing.assert_allclose(stack.encode(data), hidden, rtol=1e-5)
    b1, b2 = (stack.state()[f"visible_{layer}"] for layer in (0, 1))
    np.testing.assert_allclose(
        stack.reconstruct(data), _sigmoid(_sigmoid(hidden @ w2.T + b2) @ w1.T + b1), rtol=1e-5
    )


def test_upper_machine_trains_on_the_hidden_units_below_and_leaves_them_unchanged() -> None:
    data = _images()
    stack = _stack(data, (5, 3))
    stack.train_epoch(0, 0)
    below = {name: value.copy() for name, value in stack.state().items()}
    stack.train_epoch(1, 0)
    # Its visible biases start at the log odds of the units below, and have hardly moved.
    start = _sigmoid(stack.state()["visible_1"])
    kernel, bias = stack.weights()[0]
    inputs = _sigmoid(data @ kernel + bias)
    np.testing.assert_allclose(start, inputs.mean(axis=0), atol=0.1)
    for name, value in below.items():
        np.testing.assert_array_equal(stack.state()[name], value)


def test_visible_biases_start_at_the_means_of_the_inputs() -> None:
    data = _images()
    stack = _stack(data, learning_rate=1e-12)
    stack.train_epoch(0, 0)
    start = stack.state()["visible_0"]
    np.testing.assert_allclose(_sigmoid(start), data.mean(axis=0), rtol=1e-4)


@pytest.mark.parametrize("done", [1, 3])
def test_restored_stack_continues_to_the_same_weights(done: int) -> None:
    data = _images()
    whole, half, resumed = (_stack(data, (5, 3)) for _ in range(3))
    plan = [(0, 0), (0, 1), (1, 0), (1, 1)]
    for layer, epoch in plan:
        whole.train_epoch(layer, epoch)
    for layer, epoch in plan[:done]:
        half.train_epoch(layer, epoch)
    resumed.restore({name: value.copy() for name, value in half.state().items()})
    for layer, epoch in plan[done:]:
        resumed.train_epoch(layer, epoch)
    for name, value in whole.state().items():
        np.testing.assert_array_equal(resumed.state()[name], value)


def test_batch_size_is_at_most_the_number_of_images() -> None:
    stack = _stack(_images(5))
    stack.train_epoch(0, 0)
    assert stack.state()["chain_0"].shape == (5, 5)


def test_seed_determines_the_weights() -> None:
    stacks = [_stack(_images(), seed=seed) for seed in (0, 0, 1)]
    for stack in stacks:
        stack.train_epoch(0, 0)
    first, again, other = (stack.state()["kernel_0"] for stack in stacks)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3
