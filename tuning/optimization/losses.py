"""Losses: what training makes small, each on logits or on a standardized number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zoo.table import Table

# Of a probability's distance from 1, below which a power of it has no gradient to trust.
_TINY = 1e-7


@dataclass(frozen=True)
class Loss:
    """One loss.

    Args:
        name: The key in LOSSES.
        summary: When to use it.
        kind: The kind of task it is for, a row of `zoo.tasks.TASK_KINDS`.
        build: Maps label smoothing and the focusing parameter gamma to what
            `keras.Model.compile` takes; a loss passes over what it has no use for.
    """

    name: str
    summary: str
    kind: str
    build: Callable[[float, float], Any]


def _cross_entropy(smoothing: float, gamma: float) -> Any:
    import keras

    return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)


def _binary_cross_entropy(smoothing: float, gamma: float) -> Any:
    import keras

    return keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing)


def _keras(name: str) -> Callable[[float, float], Any]:
    def build(smoothing: float, gamma: float) -> Any:
        import keras

        return getattr(keras.losses, name)()

    return build


# Keras' focal losses clip the probability: an answer that is wholly wrong gets no gradient,
# and theirs would be the examples that count most.
def _focal(smoothing: float, gamma: float) -> Any:
    def focal(labels: Any, logits: Any) -> Any:
        """Maps float32 [B, C], rows summing to 1, and logits to float32 [B]."""
        from keras import ops

        labels = labels * (1.0 - smoothing) + smoothing / labels.shape[-1]
        log_p = ops.log_softmax(logits)
        rest = ops.maximum(-ops.expm1(log_p), _TINY)
        return -ops.sum(labels * ops.power(rest, gamma) * log_p, axis=-1)

    return focal


def _binary_focal(smoothing: float, gamma: float) -> Any:
    def binary_focal(labels: Any, logits: Any) -> Any:
        """Maps float32 [B, L] in 0 to 1 and logits to float32 [B], the mean over the labels."""
        from keras import ops

        labels = labels * (1.0 - smoothing) + smoothing / 2.0
        there, absent = ops.log_sigmoid(logits), ops.log_sigmoid(-logits)
        # 1 − p is the probability of the other answer.
        rest_there = ops.maximum(ops.exp(absent), _TINY)
        rest_absent = ops.maximum(ops.exp(there), _TINY)
        right = labels * ops.power(rest_there, gamma) * there
        wrong = (1.0 - labels) * ops.power(rest_absent, gamma) * absent
        return -ops.mean(right + wrong, axis=-1)

    return binary_focal


LOSSES: Table[Loss] = Table(
    "loss",
    [
        Loss("cross_entropy", "of softmax; the usual one for classes", "single_label",
             _cross_entropy),
        Loss("focal", "rare or hard classes: (1 − p)^gamma takes weight from what is answered well "
             "already (Lin et al., 2017)", "single_label", _focal),
        Loss("binary_cross_entropy", "of sigmoids; the usual one for several labels at once",
             "multi_label", _binary_cross_entropy),
        Loss("binary_focal", "labels that few images have (Lin et al., 2017)", "multi_label",
             _binary_focal),
        Loss("mean_squared_error", "the usual one for a number", "regression",
             _keras("MeanSquaredError")),
        Loss("mean_absolute_error", "a number with outliers; learns the median", "regression",
             _keras("MeanAbsoluteError")),
        Loss("huber", "squared up to one standard deviation, then linear (Huber, 1964)",
             "regression", _keras("Huber")),
    ],
)  # fmt: skip


def usual_loss(kind: str) -> str:
    """Returns the name of the loss that a kind of task has where none is asked for.

    Example:
        >>> usual_loss("multi_label")
        'binary_cross_entropy'
    """
    return next(loss.name for loss in LOSSES.values() if loss.kind == kind)


def build_loss(name: str, *, label_smoothing: float = 0.0, focal_gamma: float = 2.0) -> Any:
    """Builds what `keras.Model.compile` takes as a loss.

    Args:
        name: A row of LOSSES.
        label_smoothing: Share of the target spread over all answers, 0 to below 1.
        focal_gamma: The exponent of the focal losses, at least 0; at 0 they are cross-entropy.

    Returns:
        A Keras loss, or a function of labels float32 [B, K] and logits float32 [B, K].

    Raises:
        UnknownNameError: No such loss.
    """
    return LOSSES[name].build(label_smoothing, focal_gamma)
