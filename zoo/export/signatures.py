"""Output names and values of SavedModel signatures, and their comparison with the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo.errors import ExportError
from zoo.models.decision import DecisionRule, set_output
from zoo.models.unknown import IS_UNKNOWN, UNKNOWN_SCORE
from zoo.tasks import Task

TOLERANCE = 1e-5
"""Largest difference between a prediction of an export and of its run."""

SCORE_TOLERANCE = 1e-4
"""Largest difference between an unknown score of an export and of its run, relative to 1 + score.

The distance to training images is that of features less what they have in common, which rounds.
"""

TOP_K = 5
"""Number of classes in `top_labels` and `top_scores`, at most."""


def output_names(task: Task) -> tuple[str, ...]:
    """Returns the names of an exported model's outputs for a task.

    Example:
        >>> output_names(Task("tint", "single_label"))
        ('tint_probabilities', 'tint_top_labels', 'tint_top_scores')
        >>> output_names(Task("angle", "regression"))
        ('angle_value',)
    """
    if task.kind != "single_label":
        return (task.output,)
    return (task.output, f"{task.prefix}top_labels", f"{task.prefix}top_scores")


def build_outputs(
    task: Task, predictions: Any, rule: DecisionRule | None = None, *, labels: bool = True
) -> dict[str, Any]:
    """Builds an exported model's outputs for a task, in the graph.

    Args:
        task: What was predicted.
        predictions: float32 [B, K], from the Keras model.
        rule: Which classes or labels are in the answer; None exports none of it.
        labels: Whether to name the most probable classes; not every format has texts.

    Returns:
        By `output_names`: probabilities, float32 [B, C], and for a single-label task the k
        most probable classes, string [B, k], with their probabilities, float32 [B, k]; or
        numbers, float32 [B]. With a rule, the prediction set, bool [B, K].
    """
    import tensorflow as tf
    from keras import ops

    if task.kind == "regression":
        return {task.output: predictions[:, 0]}
    sets = {} if rule is None else {set_output(task): rule.members(predictions, ops)}
    if task.kind == "multi_label" or not labels:
        return {task.output: predictions, **sets}
    top_scores, indices = tf.math.top_k(predictions, min(TOP_K, len(task.class_names)))
    top_labels = tf.gather(tf.constant(list(task.class_names)), indices)
    outputs = zip(output_names(task), (predictions, top_labels, top_scores), strict=True)
    return {**dict(outputs), **sets}


def compare_outputs(
    signature: str,
    task: Task,
    outputs: Mapping[str, npt.NDArray[Any]],
    expected: npt.NDArray[np.float32],
    images: Sequence[Path],
    rule: DecisionRule | None = None,
    tolerance: float = TOLERANCE,
) -> float:
    """Compares a signature's outputs for a task with the run's own predictions.

    Args:
        signature: The signature's name, for the message.
        task: What was predicted.
        outputs: The signature's, by `output_names`; with a rule, the prediction set, too.
        expected: The run's own predictions, float32 [N, K].
        images: N files, for the message.
        rule: Which classes or labels are in the answer.
        tolerance: The largest difference that is accepted.

    Returns:
        The largest difference, at most `tolerance`: of two probabilities; of two numbers, divided
        by the task's standard deviation plus the number's size.

    Raises:
        ExportError: A difference is larger, a label is not that of its score, or a prediction set
            not that of its probabilities.
    """
    by = f"by {signature}" + ("" if task.bare else f", task {task.name!r}")
    predictions = outputs[task.output].reshape(len(outputs[task.output]), -1)
    if predictions.shape != expected.shape or not np.isfinite(predictions).all():
        raise ExportError(
            f"the exported model ({by}) predicts another shape or values that are not finite",
            expected=f"{task.output} {expected.shape}",
            received=f"{predictions.shape}",
        )
    differences = np.abs(predictions - expected)
    values = "probabilities"
    if task.kind == "regression":
        # A number has any unit, and its rounding error grows with its size.
        differences, values = differences / (task.std + np.abs(expected)), "numbers"
    by_image = differences.max(axis=1)
    has_labels = set(output_names(task)[1:]) <= outputs.keys()
    if task.kind == "single_label" and has_labels:
        _, top_labels, top_scores = (outputs[name] for name in output_names(task))
        expected_scores = -np.sort(-expected, axis=1)[:, : top_scores.shape[1]]
        by_image = np.maximum(by_image, np.abs(top_scores - expected_scores).max(axis=1))
    if by_image.max() > tolerance:
        worst = images[int(by_image.argmax())]
        raise ExportError(
            "the exported model predicts otherwise than its run; nothing was exported",
            expected=f"the same {values} within {tolerance:g}",
            received=f"{by_image.max():.2g} apart {by}, most for {worst}",
        )
    if task.kind == "single_label" and has_labels:
        _compare_labels(by, task, predictions, top_labels, images)
    if rule is not None:
        _compare_sets(by, predictions, outputs[set_output(task)], rule, images, tolerance)
    return float(by_image.max())


def _compare_labels(
    by: str,
    task: Task,
    probabilities: npt.NDArray[np.float32],
    top_labels: npt.NDArray[Any],
    images: Sequence[Path],
) -> None:
    # By the export's own probabilities: within the tolerance, two classes may swap ranks.
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, : top_labels.shape[1]]
    expected = np.array(task.class_names)[order]
    wrong = np.argwhere(top_labels != expected)
    if len(wrong):
        row, column = wrong[0]
        raise ExportError(
            f"the exported model ({by}) names another class than that of its probability",
            expected=f"{str(expected[row, column])!r} for {images[row]}",
            received=repr(str(top_labels[row, column])),
        )


def _compare_sets(
    by: str,
    probabilities: npt.NDArray[np.float32],
    members: npt.NDArray[np.bool_],
    rule: DecisionRule,
    images: Sequence[Path],
    tolerance: float,
) -> None:
    # By the export's own probabilities: within the tolerance, one may pass the threshold.
    least, most = (rule.members(probabilities, slack=slack) for slack in (-tolerance, tolerance))
    has_shape = members.shape == least.shape
    wrong = np.argwhere((least & ~members) | (members & ~most)) if has_shape else np.array([[0]])
    if len(wrong):
        raise ExportError(
            f"the exported model ({by}) has other prediction sets than its run",
            expected="the classes or labels that its probabilities and the rule give",
            received=f"others for {images[wrong[0][0]]}",
        )


def build_unknown_outputs(scores: Any) -> dict[str, Any]:
    """Builds an exported model's outputs about images that are none of its classes.

    Args:
        scores: Unknown scores, float32 [B].

    Returns:
        `unknown_score`, float32 [B], and `is_unknown`, bool [B].
    """
    return {UNKNOWN_SCORE: scores, IS_UNKNOWN: scores > 1}


def compare_unknown_outputs(
    signature: str,
    outputs: Mapping[str, npt.NDArray[Any]],
    expected: npt.NDArray[np.float32],
    images: Sequence[Path],
    rounding: float = 0.0,
    tolerance: float = SCORE_TOLERANCE,
) -> float:
    """Compares a signature's unknown scores with the run's own.

    Args:
        signature: The signature's name, for the message.
        outputs: The signature's, `unknown_score` and `is_unknown`.
        expected: The run's own scores, float32 [N].
        images: N files, for the message.
        rounding: What rounding may change in a score; see `zoo.models.unknown`.
        tolerance: The largest difference beside it that is accepted.

    Returns:
        The largest difference, divided by 1 plus the score.

    Raises:
        ExportError: A difference is larger, or `is_unknown` is not that of its score.
    """
    scores, is_unknown = outputs[UNKNOWN_SCORE], outputs[IS_UNKNOWN]
    if scores.shape != expected.shape or not np.isfinite(scores).all():
        raise ExportError(
            f"the exported model (by {signature}) scores another shape or not finite",
            expected=f"{UNKNOWN_SCORE} {expected.shape}",
            received=f"{scores.shape}",
        )
    differences = np.abs(scores - expected) / (1 + np.abs(expected))
    tolerance += rounding
    if differences.max() > tolerance:
        raise ExportError(
            "the exported model scores otherwise than its run; nothing was exported",
            expected=f"the same {UNKNOWN_SCORE} within {tolerance:g}",
            received=f"{differences.max():.2g} apart by {signature}, most for "
            f"{images[int(differences.argmax())]}",
        )
    # By the export's own scores: within the tolerance, one may pass the threshold.
    if len(wrong := np.flatnonzero(is_unknown != (scores > 1))):
        raise ExportError(
            f"the exported model (by {signature}) refuses an image against its score",
            expected=f"{IS_UNKNOWN} where {UNKNOWN_SCORE} is above 1",
            received=f"{is_unknown[wrong[0]]} at {scores[wrong[0]]:.4g} for {images[wrong[0]]}",
        )
    return float(differences.max())
