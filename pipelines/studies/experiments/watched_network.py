"""A network whose layers' inputs are watched, and can be shifted, while it trains."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.studies.experiments.digits import NUM_CLASSES, Digits

DEPTH, UNITS, EPOCHS = 3, 100, 12
"""The network of Ioffe and Szegedy's first experiment: sigmoids, on images of digits."""

STDDEV, RATE = 0.1, 0.1

KINDS = ("without", "normalized", "normalized, then shifted")


class WatchedNetwork:
    """Dense layers as plain tensors, so that the inputs of each can be watched and shifted.

    Args:
        kind: One of KINDS. Santurkar et al. shift and scale each unit behind its
            normalization by random amounts that change at every step; these are theirs.
        seed: Seed of the weights and of the shifts.
    """

    def __init__(self, kind: str, seed: int) -> None:
        import keras
        import tensorflow as tf

        self._normalizes, self._shifts = kind != "without", kind == KINDS[2]
        widths = (64, *(UNITS,) * DEPTH, NUM_CLASSES)
        start = keras.initializers.RandomNormal(stddev=STDDEV, seed=seed)
        self.kernels = [tf.Variable(np.asarray(start((a, b))) + 0) for a, b in pairwise(widths)]
        self.biases = [tf.Variable(tf.zeros([width])) for width in widths[1:]]
        self.scales = [tf.Variable(tf.ones([UNITS])) for _ in range(DEPTH)]
        self._random = np.random.default_rng(seed)

    @property
    def variables(self) -> list[Any]:
        """All that is trained."""
        scales = self.scales if self._normalizes else []
        return [*self.kernels, *self.biases, *scales]

    def draw_shifts(self) -> npt.NDArray[np.float32]:
        """Returns the scale and the shift of every unit for one step, [layers, 2, units]."""
        shape = (DEPTH, UNITS)
        if not self._shifts:
            return np.stack([np.ones(shape), np.zeros(shape)], axis=1).astype(np.float32)
        scales = self._random.uniform(1, 1.25, shape)
        shifts = self._random.uniform(-0.5, 0.5, shape)
        return np.stack([scales, shifts], axis=1).astype(np.float32)

    def __call__(self, x: Any, shifts: Any) -> tuple[Any, list[Any]]:
        """Returns the logits, and what reaches each hidden layer's activation."""
        import tensorflow as tf

        seen = []
        for layer in range(DEPTH):
            x = x @ self.kernels[layer] + self.biases[layer]
            if self._normalizes:
                mean, variance = tf.nn.moments(x, axes=[0])
                x = (x - mean) / tf.sqrt(variance + 1e-3) * self.scales[layer] + self.biases[layer]
                x = x * shifts[layer, 0] + shifts[layer, 1]
            seen.append(x)
            x = tf.sigmoid(x)
        return x @ self.kernels[DEPTH] + self.biases[DEPTH], seen


def train_watched(kind: str, seed: int) -> dict[str, list[float]]:
    """Trains a network; returns its loss and how far the last layer's inputs move, by epoch.

    The movement is the mean change of a unit's mean from one step to the next, in standard
    deviations of that unit.
    """
    import tensorflow as tf

    from tuning.optimization.optimizer_config import build_optimizer

    data, network = Digits(seed), WatchedNetwork(kind, seed)
    optimizer = build_optimizer("momentum", learning_rate=RATE)
    optimizer.build(network.variables)

    @tf.function
    def step(rows: Any, labels: Any, shifts: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            logits, seen = network(rows, shifts)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        optimizer.apply(tape.gradient(loss, network.variables), network.variables)
        return loss, tf.stack(tf.nn.moments(seen[-1], axes=[0]))

    found: dict[str, list[float]] = {"loss": [], "movement": []}
    before = None
    for epoch in range(EPOCHS):
        losses, moves = [], []
        for batches in data.train(epoch):
            for rows, labels in zip(batches.features, batches.labels, strict=True):
                loss, moments = step(rows, labels, network.draw_shifts())
                mean, variance = moments.numpy()
                if before is not None:
                    moves.append(np.mean(np.abs(mean - before) / np.sqrt(variance + 1e-6)))
                losses.append(float(loss))
                before = mean
        found["loss"].append(float(np.mean(losses)))
        found["movement"].append(float(np.mean(moves)))
    return found
