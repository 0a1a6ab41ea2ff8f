"""Losses of logits, probabilities and standardized numbers, one table for all kinds of tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zoo.table import Table

# Smallest 1 − p raised to a power: below it the gradient of the power is not reliable.
_MIN_COMPLEMENT = 1e-7
# Probabilities are clipped to [ε, 1 − ε] before a logarithm, as Keras does.
_EPSILON = 1e-7


@dataclass(frozen=True)
class Loss:
    """A loss.

    Args:
        name: The key in LOSSES.
        summary: When to use it.
        kind: The kind of task it is for, a row of `zoo.tasks.TASK_KINDS`.
        build: Builds the loss for `keras.Model.compile` from the label smoothing, the focusing
            parameter gamma, and whether the model's outputs are logits; a loss ignores the
            parameters it does not have.
    """

    name: str
    summary: str
    kind: str
    build: Callable[[float, float, bool], Any]


def _cross_entropy(smoothing: float, gamma: float, from_logits: bool) -> Any:
    import keras

    return keras.losses.CategoricalCrossentropy(from_logits=from_logits, label_smoothing=smoothing)


def _binary_cross_entropy(smoothing: float, gamma: float, from_logits: bool) -> Any:
    import keras

    return keras.losses.BinaryCrossentropy(from_logits=from_logits, label_smoothing=smoothing)


def _keras(name: str) -> Callable[[float, float, bool], Any]:
    def build(smoothing: float, gamma: float, from_logits: bool) -> Any:
        import keras

        return getattr(keras.losses, name)()

    return build


# Keras' focal losses clip the probability, so a confident wrong prediction has no gradient,
# although focal loss should weigh it most.
def _focal(smoothing: float, gamma: float, from_logits: bool) -> Any:
    def focal(labels: Any, outputs: Any) -> Any:
        """Maps labels float32 [B, C], rows summing to 1, and outputs [B, C] to losses [B]."""
        from keras import ops

        labels = labels * (1.0 - smoothing) + smoothing / labels.shape[-1]
        log_p = ops.log_softmax(outputs) if from_logits else ops.log(_clip(outputs))
        not_p = ops.maximum(-ops.expm1(log_p), _MIN_COMPLEMENT)
        return -ops.sum(labels * ops.power(not_p, gamma) * log_p, axis=-1)

    return focal


def _binary_focal(smoothing: float, gamma: float, from_logits: bool) -> Any:
    def binary_focal(labels: Any, outputs: Any) -> Any:
        """Maps labels float32 [B, L] in 0 to 1 and outputs [B, L] to losses [B], means over L."""
        from keras import ops

        labels = labels * (1.0 - smoothing) + smoothing / 2.0
        if from_logits:
            log_p, log_not_p = ops.log_sigmoid(outputs), ops.log_sigmoid(-outputs)
        else:
            clipped = _clip(outputs)
            log_p, log_not_p = ops.log(clipped), ops.log(1.0 - clipped)
        p = ops.maximum(ops.exp(log_p), _MIN_COMPLEMENT)
        not_p = ops.maximum(ops.exp(log_not_p), _MIN_COMPLEMENT)
        positive = labels * ops.power(not_p, gamma) * log_p
        negative = (1.0 - labels) * ops.power(p, gamma) * log_not_p
        return -ops.mean(positive + negative, axis=-1)

    return binary_focal


def _clip(probabilities: Any) -> Any:
    from keras import ops

    return ops.clip(probabilities, _EPSILON, 1.0 - _EPSILON)


LOSSES: Table[Loss] = Table(
    "loss",
    [
        Loss("cross_entropy", "of the softmax; the default for classes", "single_label",
             _cross_entropy),
        Loss("focal", "rare or hard classes: (1 − p)^gamma reduces the weight of confident correct "
             "predictions (Lin et al., 2017)", "single_label", _focal),
        Loss("binary_cross_entropy", "of sigmoids; the default for several labels an image",
             "multi_label", _binary_cross_entropy),
        Loss("binary_focal", "rare labels (Lin et al., 2017)", "multi_label",
             _binary_focal),
        Loss("mean_squared_error", "the default for a number", "regression",
             _keras("MeanSquaredError")),
        Loss("mean_absolute_error", "a number with outliers; estimates the median", "regression",
             _keras("MeanAbsoluteError")),
        Loss("huber", "squared up to one standard deviation, then linear (Huber, 1964)",
             "regression", _keras("Huber")),
    ],
)  # fmt: skip


def default_loss(kind: str) -> str:
    """Returns the name of the default loss of a kind of task.

    Args:
        kind: A row of `zoo.tasks.TASK_KINDS`.

    Example:
        >>> default_loss("multi_label")
        'binary_cross_entropy'
    """
    return next(loss.name for loss in LOSSES.values() if loss.kind == kind)


def build_loss(
    name: str,
    *,
    label_smoothing: float = 0.0,
    focal_gamma: float = 2.0,
    from_logits: bool = False,
) -> Any:
    """Builds a loss for `keras.Model.compile`.

    Args:
        name: A row of LOSSES.
        label_smoothing: Fraction of each target spread over all classes, 0 to below 1.
        focal_gamma: The exponent of the focal losses, at least 0; 0 makes them cross-entropy.
        from_logits: Whether the model's outputs are logits and not probabilities, such as
            those of `zoo.models.classifier.build_classifier`.

    Returns:
        A Keras loss, or a function of labels and outputs, float32 [B, K] both, to float32 [B].

    Raises:
        UnknownNameError: No loss has this name.
    """
    return LOSSES[name].build(label_smoothing, focal_gamma, from_logits)
