"""Logic gates, learned by a perceptron and by a network of two layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

POINTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
TABLES = {
    "AND": np.array([0, 0, 0, 1]),
    "OR": np.array([0, 1, 1, 1]),
    "XOR": np.array([0, 1, 1, 0]),
}


def learn_perceptron(labels: npt.NDArray[Any], seed: int, epochs: int = 1000) -> tuple[Any, int]:
    """Applies Rosenblatt's rule until an epoch has no mistake.

    Args:
        labels: 0 or 1 of each of POINTS.
        seed: Seed of the weights and of the order.
        epochs: Epochs after which it gives up.

    Returns:
        The weights of both inputs and the bias, and the epochs it took; -1 if it never ended.
    """
    rng = np.random.default_rng(seed)
    rows, weights = np.hstack([POINTS, np.ones((4, 1))]), rng.normal(size=3)
    for epoch in range(epochs):
        mistakes = 0
        for i in rng.permutation(4):
            error = labels[i] - float(rows[i] @ weights > 0)
            weights = weights + error * rows[i]
            mistakes += bool(error)
        if not mistakes:
            return weights, epoch + 1
    return weights, -1


def learn_two_layers(labels: npt.NDArray[Any], seed: int, hidden: int = 4) -> Any:
    """Trains tanh(x W + b) V + c by gradient descent on the squared error, 5,000 steps.

    Args:
        labels: 0 or 1 of each of POINTS.
        seed: Seed of the weights.
        hidden: Hidden units.

    Returns:
        W, b, V and c.
    """
    rng = np.random.default_rng(seed)
    first, bias = rng.normal(size=(2, hidden)), rng.normal(size=hidden)
    second, offset = rng.normal(size=hidden) / np.sqrt(hidden), 0.0
    for _ in range(5000):
        x = np.tanh(POINTS @ first + bias)
        error = (x @ second + offset - labels) / 2
        back = np.outer(error, second) * (1 - x**2)
        second, offset = second - 0.2 * x.T @ error, offset - 0.2 * error.sum()
        first, bias = first - 0.2 * POINTS.T @ back, bias - 0.2 * back.sum(axis=0)
    return first, bias, second, offset


def answer_two_layers(weights: Any, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Returns the answers of a trained network, 0 or 1 but for a rest of error."""
    first, bias, second, offset = weights
    return np.asarray(np.tanh(rows @ first + bias) @ second + offset)
