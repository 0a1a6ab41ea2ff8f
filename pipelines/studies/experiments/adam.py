"""Adam by its formulas, with and without the correction of its bias towards 0."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.studies.experiments.digits import NUM_CLASSES, Digits
from pipelines.studies.experiments.two_layers import Weights, gradients_by_hand, loss_of

BETA1, RATE, EPSILON = 0.9, 0.01, 1e-8


class Adam:
    """Adam (Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980).

    Args:
        beta2: Decay of the mean square of the gradients, 0 to below 1.
        corrected: Whether both means, which start at 0, are divided by 1 − βᵗ.
        rate: The learning rate.
    """

    def __init__(self, beta2: float, *, corrected: bool, rate: float = RATE) -> None:
        self._beta2, self._corrected, self._rate = beta2, corrected, rate
        self._step = 0
        self._means: Weights = []
        self._squares: Weights = []

    def apply(self, gradients: Weights, weights: Weights) -> None:
        """Moves the weights by one step."""
        if not self._means:
            self._means = [np.zeros_like(gradient) for gradient in gradients]
            self._squares = [np.zeros_like(gradient) for gradient in gradients]
        self._step += 1
        first, second = (
            1 - beta**self._step if self._corrected else 1.0 for beta in (BETA1, self._beta2)
        )
        for gradient, weight, mean, square in zip(
            gradients, weights, self._means, self._squares, strict=True
        ):
            mean += (1 - BETA1) * (gradient - mean)
            square += (1 - self._beta2) * (gradient**2 - square)
            weight -= self._rate * (mean / first) / (np.sqrt(square / second) + EPSILON)


def train_with_adam(
    data: Digits, beta2: float, *, corrected: bool, epochs: int, hidden: int = 64
) -> dict[str, Any]:
    """Trains two layers on digits.

    Args:
        data: The digits; their seed is that of the weights, too.
        beta2: Adam's decay of the mean square.
        corrected: Whether Adam's means are corrected.
        epochs: Epochs.
        hidden: Hidden units.

    Returns:
        `losses`, the training loss before the first step and after each epoch; `first_step`,
        the mean length of the first step of a weight that has a gradient, in learning rates.
    """
    rng = np.random.default_rng(data.seed)
    widths = data.num_features, hidden, NUM_CLASSES
    weights: Weights = []
    for wide, narrow in pairwise(widths):
        deviation = np.sqrt(2 / (wide + narrow))  # Glorot's
        weights += [deviation * rng.normal(size=(wide, narrow)), np.zeros(narrow)]
    targets: npt.NDArray[np.float64] = np.eye(NUM_CLASSES)
    x, y = data.rows.astype(np.float64), targets[data.labels]
    optimizer, first_step = Adam(beta2, corrected=corrected), 0.0
    losses = [loss_of(weights, x, y)]
    for epoch in range(epochs):
        for batches in data.train(epoch):
            for rows, labels in zip(batches.features, batches.labels, strict=True):
                before = weights[0].copy()
                gradients = gradients_by_hand(weights, rows.astype(np.float64), targets[labels])
                optimizer.apply(gradients, weights)
                if not first_step:
                    moved = np.abs(weights[0] - before)[np.abs(gradients[0]) > 1e-6]
                    first_step = float(moved.mean() / RATE)
        losses.append(loss_of(weights, x, y))
    return {"losses": losses, "first_step": first_step}
