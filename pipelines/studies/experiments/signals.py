"""Signals through ten layers with their initial weights, and layers that start symmetric."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from zoo.heads.activations import ACTIVATIONS
from zoo.heads.initializers import INITIALIZERS

LAYERS, UNITS = 10, 200
EDGES = np.linspace(-3, 3, 41)
"""Of the bins of a histogram; the outermost ones hold what is beyond, too."""

_SATURATED = {"sigmoid": 0.02, "tanh": 0.04}
"""How near to an end of its range an output is saturated: 2 % of the range."""


def forward(initializer: str, stddev: float, activation: str, seed: int) -> list[npt.NDArray[Any]]:
    """Sends N(0, 1) through ten dense layers; returns the outputs of each, [rows, units].

    Args:
        initializer: A row of INITIALIZERS.
        stddev: Its standard deviation, where it takes one.
        activation: A row of ACTIVATIONS.
        seed: Seed of the input and of the weights.
    """
    import keras

    rng = np.random.default_rng(seed)
    keras.utils.set_random_seed(seed)
    activate = ACTIVATIONS[activation].build(activation)
    x, outputs = rng.normal(size=(1000, UNITS)).astype(np.float32), []
    for _ in range(LAYERS):
        kernel = INITIALIZERS[initializer].build(stddev)((UNITS, UNITS))
        x = np.asarray(activate(x @ np.asarray(kernel)))
        outputs.append(x)
    return outputs


def describe(activation: str, outputs: npt.NDArray[Any]) -> dict[str, Any]:
    """Returns the spread of a layer's outputs, its saturated and dead shares, its histogram."""
    low = 0.0 if activation == "sigmoid" else -1.0
    edge = _SATURATED.get(activation, 0.0)
    saturated = (outputs < low + edge) | (outputs > 1 - edge) if edge else np.zeros(1, bool)
    counts, _ = np.histogram(np.clip(outputs, EDGES[0], EDGES[-1]), EDGES)
    return {
        "std": float(outputs.std()),
        # Of a unit over all rows: what tells one image from another.
        "spread": float(outputs.std(axis=0).mean()),
        "saturated": float(saturated.mean()),
        "dead": float((outputs == 0).all(axis=0).mean()),
        "histogram": (counts / outputs.size).round(4).tolist(),
    }


def symmetric_columns(steps: int = 20) -> float:
    """Trains two layers whose weights start equal; returns how far their units then differ."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 5)), rng.normal(size=(64, 1))
    first, second = np.full((5, 8), 0.3), np.full((8, 1), 0.3)
    for _ in range(steps):
        hidden = np.tanh(x @ first)
        error = 2 * (hidden @ second - y) / len(x)
        back = (error @ second.T) * (1 - hidden**2)
        second -= 0.1 * hidden.T @ error
        first -= 0.1 * x.T @ back
    return float(np.ptp(first, axis=1).max())
