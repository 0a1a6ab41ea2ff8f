"""Distillation: the loss of a network that learns a teacher's probabilities beside the labels.

Reference: Hinton, Vinyals and Dean, 2015, https://arxiv.org/abs/1503.02531
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

Function = Callable[[Any, Any], Any]
"""Maps labels and logits, float32 [B, C] both, to a number of each image, float32 [B].

Of images with a teacher, labels are float32 [B, 2C]: the share of each class by the label, then by
the teacher at its temperature. Together they sum to 1.
"""

_SMALLEST = 1e-30


@dataclass(frozen=True)
class SoftTargets:
    """What a teacher says of images, to be learned beside their labels.

    Args:
        probabilities: Of each class, at the teacher's temperature, float32 [N, C].
        labeled: Which images have a label of their own, bool [N].
        weight: The teacher's share of the target of an image with a label, above 0, at most 1.
    """

    probabilities: Floats
    labeled: npt.NDArray[np.bool_]
    weight: float

    @property
    def shares(self) -> Floats:
        """The teacher's share of each image's target, float32 [N]; 1 without a label."""
        return np.where(self.labeled, np.float32(self.weight), np.float32(1))

    def take(self, indices: npt.NDArray[np.int64]) -> SoftTargets:
        """Returns those of some images.

        Args:
            indices: int64 [n].
        """
        return SoftTargets(self.probabilities[indices], self.labeled[indices], self.weight)

    @classmethod
    def join(cls, parts: Sequence[SoftTargets]) -> SoftTargets:
        """Concatenates the soft targets of several sets of images.

        Args:
            parts: At least one, all of one teacher.
        """
        return cls(
            np.concatenate([part.probabilities for part in parts]),
            np.concatenate([part.labeled for part in parts]),
            parts[0].weight,
        )

    def mix(self, targets: Floats) -> Floats:
        """Returns targets of which the teacher has its share, for a loss at temperature 1.

        Args:
            targets: Of the labels, float32 [N, C].
        """
        shares = self.shares[:, np.newaxis]
        return targets * (1 - shares) + self.probabilities * shares


def soften(probabilities: Floats, temperature: float) -> Floats:
    """Returns the probabilities that logits divided by a temperature have.

    Args:
        probabilities: float32 [N, C].
        temperature: 1 or more.

    Returns:
        float32 [N, C], rows that sum to 1.

    Example:
        >>> soften(np.float32([[0.8, 0.2]]), 2).astype(float).round(3).tolist()
        [[0.667, 0.333]]
    """
    powers = np.maximum(probabilities.astype(np.float64), _SMALLEST) ** (1 / temperature)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def build_distillation_loss(temperature: float, label_smoothing: float = 0.0) -> Function:
    """Builds a loss: Σ_c label_c · −log softmax(z)_c + T² · share · KL(teacher ‖ softmax(z / T)).

    Args:
        temperature: T, that of the teacher's part of the labels.
        label_smoothing: Fraction of the labels' part that is spread over all classes, 0 to
            below 1.

    Returns:
        A loss for `keras.Model.compile`; labels without a teacher's part, float32 [B, C], have
        the first term alone.
    """

    def distillation(labels: Any, logits: Any) -> Any:
        from keras import ops

        count = logits.shape[-1]
        hard, soft = labels[:, :count], labels[:, count:]
        spread = ops.sum(hard, axis=-1, keepdims=True) / count
        hard = hard * (1.0 - label_smoothing) + label_smoothing * spread
        loss = -ops.sum(hard * ops.log_softmax(logits), axis=-1)
        if labels.shape[-1] == count:
            return loss
        share = ops.sum(soft, axis=-1, keepdims=True)
        known = ops.log(ops.maximum(soft, _SMALLEST) / ops.maximum(share, _SMALLEST))
        divergence = ops.sum(soft * (known - ops.log_softmax(logits / temperature)), axis=-1)
        return loss + temperature**2 * divergence

    return distillation


def distillation_accuracy(labels: Any, logits: Any) -> Any:
    """Returns 1 for each image whose likeliest class is its label, or without one the teacher's.

    Args:
        labels: float32 [B, C], or [B, 2C] as of `Function`.
        logits: float32 [B, C].
    """
    from keras import ops

    count = logits.shape[-1]
    hard, soft = labels[:, :count], labels[:, count:]
    expected = ops.argmax(hard, axis=-1)
    if labels.shape[-1] > count:
        labeled = ops.sum(hard, axis=-1) > 0
        expected = ops.where(labeled, expected, ops.argmax(soft, axis=-1))
    return ops.cast(ops.equal(expected, ops.argmax(logits, axis=-1)), "float32")
