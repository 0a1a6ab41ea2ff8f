"""A network of two layers and its gradients: by the chain rule, by TensorFlow, by differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Weights = list[npt.NDArray[np.float64]]

ROWS, INPUTS, HIDDEN, CLASSES = 16, 6, 8, 3


def problem(seed: int) -> tuple[Weights, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns weights of two layers, rows and one-hot targets, all float64."""
    rng = np.random.default_rng(seed)
    shapes = (INPUTS, HIDDEN), (HIDDEN,), (HIDDEN, CLASSES), (CLASSES,)
    weights = [0.5 * rng.normal(size=shape) for shape in shapes]
    targets = np.eye(CLASSES)[rng.integers(0, CLASSES, ROWS)]
    return weights, rng.normal(size=(ROWS, INPUTS)), targets


def loss_of(weights: Weights, x: npt.NDArray[Any], targets: npt.NDArray[Any]) -> float:
    """Returns the mean cross-entropy of softmax(tanh(x W + b) V + c).

    Args:
        weights: Kernel and biases of both layers.
        x: float64 [rows, inputs].
        targets: One-hot, [rows, classes].
    """
    first, bias, second, offset = weights
    logits = np.tanh(x @ first + bias) @ second + offset
    logits = logits - logits.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return float(-((logits - log_sums) * targets).sum(axis=1).mean())


def gradients_by_hand(weights: Weights, x: npt.NDArray[Any], targets: npt.NDArray[Any]) -> Weights:
    """Returns the gradients by the chain rule, from the loss back to the first layer.

    Args:
        weights: Kernel and biases of both layers.
        x: float64 [rows, inputs].
        targets: One-hot, [rows, classes].
    """
    first, bias, second, offset = weights
    hidden = np.tanh(x @ first + bias)
    logits = hidden @ second + offset
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    # Of softmax and cross-entropy together: what is predicted less what is right.
    at_logits = (exponents / exponents.sum(axis=1, keepdims=True) - targets) / len(x)
    at_hidden = (at_logits @ second.T) * (1 - hidden**2)
    return [x.T @ at_hidden, at_hidden.sum(0), hidden.T @ at_logits, at_logits.sum(0)]


def automatic_gradients(
    weights: Weights, x: npt.NDArray[Any], targets: npt.NDArray[Any]
) -> Weights:
    """Returns TensorFlow's gradients.

    Args:
        weights: Kernel and biases of both layers.
        x: float64 [rows, inputs].
        targets: One-hot, [rows, classes].
    """
    import tensorflow as tf

    variables = [tf.Variable(weight) for weight in weights]
    with tf.GradientTape() as tape:
        first, bias, second, offset = variables
        logits = tf.tanh(x @ first + bias) @ second + offset
        losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
        loss = tf.reduce_mean(losses)
    return [gradient.numpy() for gradient in tape.gradient(loss, variables)]


def finite_differences(
    weights: Weights, x: npt.NDArray[Any], targets: npt.NDArray[Any], step: float
) -> Weights:
    """Returns central differences of the loss, one weight after another.

    Args:
        weights: Kernel and biases of both layers.
        x: float64 [rows, inputs].
        targets: One-hot, [rows, classes].
        step: By how much a weight is moved to either side.
    """
    found = [np.zeros_like(weight) for weight in weights]
    for weight, gradient in zip(weights, found, strict=True):
        for place in np.ndindex(weight.shape):
            kept = weight[place]
            sides = []
            for side in (step, -step):
                weight[place] = kept + side
                sides.append(loss_of(weights, x, targets))
            weight[place] = kept
            gradient[place] = (sides[0] - sides[1]) / (2 * step)
    return found


def relative_error(found: Weights, expected: Weights) -> float:
    """Returns the norm of the difference relative to the norm of what is expected."""
    a, b = (np.concatenate([part.ravel() for part in parts]) for parts in (found, expected))
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))
