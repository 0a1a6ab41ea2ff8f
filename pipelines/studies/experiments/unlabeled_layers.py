"""Layers from images without labels, and networks that are trained from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.studies.experiments.digits import NUM_CLASSES, Digits
from tuning.boltzmann_machines import BoltzmannStack
from tuning.optimization.optimizer_config import build_optimizer

UNITS = (128, 128)
Layers = list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]
"""Kernel and biases of each hidden layer, from the pixels up."""


def random_layers(seed: int) -> Layers:
    """Returns layers by Glorot's initializer."""
    import keras

    widths = (64, *UNITS)
    start = keras.initializers.GlorotNormal(seed=seed)
    return [
        (np.asarray(start((a, b))), np.zeros(b, np.float32))
        for a, b in zip(widths, UNITS, strict=False)
    ]


def boltzmann_layers(pixels: npt.NDArray[np.float32], seed: int, epochs: int = 20) -> Layers:
    """Returns layers of stacked Boltzmann machines, trained on pixels of 0 to 1.

    Args:
        pixels: float32 [rows, 64].
        seed: Seed of the weights and of the samples.
        epochs: Epochs of each layer.
    """
    stack = BoltzmannStack(pixels, UNITS, learning_rate=0.05, batch_size=20, seed=seed)
    for layer in range(len(UNITS)):
        for epoch in range(epochs):
            stack.train_epoch(layer, epoch)
    return stack.weights()


def autoencoder_layers(pixels: npt.NDArray[np.float32], seed: int, epochs: int = 60) -> Layers:
    """Returns the lower half of a network that was trained to return its input.

    Args:
        pixels: float32 [rows, 64], 0 to 1.
        seed: Seed of the weights and of the order.
        epochs: Epochs.
    """
    import tensorflow as tf

    lower, rng = random_layers(seed), np.random.default_rng(seed)
    upper = [(kernel.T.copy(), np.zeros(len(kernel), np.float32)) for kernel, _ in lower[::-1]]
    weights = [tf.Variable(part) for layer in (*lower, *upper) for part in layer]

    def restore(rows: Any) -> Any:
        for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
            rows = tf.sigmoid(rows @ kernel + bias)
        return rows

    batches = (pixels[rng.permutation(len(pixels))[: len(pixels) // 50 * 50]].reshape(-1, 50, 64)
               for _ in range(epochs))  # fmt: skip
    _descend(weights, lambda rows: tf.reduce_mean(tf.square(restore(rows) - rows)), batches)
    return [(weights[2 * i].numpy(), weights[2 * i + 1].numpy()) for i in range(len(UNITS))]


def tuned_accuracy(layers: Layers, data: Digits, count: int, steps: int = 300) -> float:
    """Trains all layers and a new top on the first labels; returns the validation accuracy.

    Args:
        layers: The hidden layers to begin with.
        data: The digits.
        count: Labels that are known.
        steps: Steps, each on all labeled rows.
    """
    import tensorflow as tf

    weights = [tf.Variable(part) for layer in layers for part in layer]
    weights += [tf.Variable(tf.zeros([UNITS[-1], NUM_CLASSES])), tf.Variable(tf.zeros(NUM_CLASSES))]

    def logits(rows: Any) -> Any:
        for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
            rows = tf.sigmoid(rows @ kernel + bias)
        return rows @ weights[-2] + weights[-1]

    rows, labels = data.rows[:count], data.labels[:count]
    _descend(
        weights,
        lambda x: tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits(x))),
        [np.repeat(rows[np.newaxis], steps, axis=0)],
    )
    answers = np.argmax(logits(data.validation_rows).numpy(), axis=1)
    return float((answers == data.validation_labels).mean())


def _descend(weights: list[Any], loss_of: Any, epochs: Any) -> None:
    """Takes a step of Adam for every batch; the batches of an epoch are an array."""
    import tensorflow as tf

    optimizer = build_optimizer("adam", learning_rate=0.003)
    optimizer.build(weights)

    @tf.function(reduce_retracing=True)
    def step(rows: Any) -> None:
        with tf.GradientTape() as tape:
            loss = loss_of(rows)
        optimizer.apply(tape.gradient(loss, weights), weights)

    for batches in epochs:
        for rows in batches:
            step(tf.constant(rows))
