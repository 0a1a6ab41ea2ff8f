"""Landscapes of two weights, and the paths of optimizers in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tuning.optimization.optimizer_config import build_optimizer

# Of 1 and 3 by powers of ten up to 0.3: the one that gets lowest in Rosenbrock's valley.
RATES = {
    "sgd": 0.003, "momentum": 0.001, "nesterov": 0.001, "adagrad": 0.3, "rmsprop": 0.01,
    "adam": 0.3, "adamw": 0.3,
}  # fmt: skip
"""Learning rate of each optimizer in the landscapes, where SGD is plain gradient descent."""

STEPS = 1000

Landscape = Callable[[Any, Any], Any]


def rosenbrock(x: Any, y: Any) -> Any:
    """Returns (1 − x)² + 100 (y − x²)²; the minimum is 0 at (1, 1)."""
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def valley(x: Any, y: Any) -> Any:
    """Returns (x² + 100 y²) / 2, a quadratic of condition number 100."""
    return (x**2 + 100 * y**2) / 2


LANDSCAPES: dict[str, tuple[Landscape, tuple[float, float]]] = {
    "Rosenbrock's valley": (rosenbrock, (-1.5, 1.5)),
    "quadratic of condition 100": (valley, (-1.8, 0.8)),
}


def walk(
    name: str, landscape: Landscape, start: tuple[float, float], steps: int = STEPS
) -> dict[str, Any]:
    """Minimizes a landscape by an optimizer of the table.

    Args:
        name: A key of RATES.
        landscape: Maps two weights to a value.
        start: Where it begins.
        steps: Steps.

    Returns:
        The values before each of the steps, and every tenth point of the path.
    """
    import keras
    import tensorflow as tf

    point = keras.Variable(np.array(start, np.float32))
    optimizer = build_optimizer(name, learning_rate=RATES[name])
    optimizer.build([point])

    @tf.function
    def step() -> tuple[Any, Any]:
        here = tf.identity(point.value)
        with tf.GradientTape() as tape:
            tape.watch(here)
            value = landscape(here[0], here[1])
        optimizer.apply([tape.gradient(value, here)], [point])
        return value, here

    values, path = zip(*(step() for _ in range(steps)), strict=True)
    return {
        "values": [float(value) for value in values],
        "path": [here.numpy().tolist() for here in path[::10]],
    }
