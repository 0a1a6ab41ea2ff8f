"""Answers: what an exported model says of each task, and how that is held to its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo.errors import ExportError
from zoo.tasks import Task

TOLERANCE = 1e-5
TOP_K = 5


def output_names(task: Task) -> tuple[str, ...]:
    """Returns what the outputs of an exported model for a task are called.

    Example:
        >>> output_names(Task("tint", "single_label"))
        ('tint_probabilities', 'tint_top_labels', 'tint_top_scores')
        >>> output_names(Task("angle", "regression"))
        ('angle_value',)
    """
    if task.kind != "single_label":
        return (task.output,)
    return (task.output, f"{task.prefix}top_labels", f"{task.prefix}top_scores")


def serve(task: Task, answer: Any) -> dict[str, Any]:
    """Returns the outputs of an exported model for a task, in the graph.

    Args:
        task: What was asked.
        answer: float32 [B, K], as the model gave it.

    Returns:
        By `output_names`: float32 [B, C] probabilities, and of single labels also
        string [B, k] and float32 [B, k], the likeliest; or float32 [B] numbers.
    """
    import tensorflow as tf

    if task.kind == "regression":
        return {task.output: answer[:, 0]}
    if task.kind == "multi_label":
        return {task.output: answer}
    scores, indices = tf.math.top_k(answer, min(TOP_K, len(task.class_names)))
    top_labels = tf.gather(tf.constant(list(task.class_names)), indices)
    return dict(zip(output_names(task), (answer, top_labels, scores), strict=True))


def compare(
    signature: str,
    task: Task,
    served: Mapping[str, npt.NDArray[Any]],
    expected: npt.NDArray[np.float32],
    images: Sequence[Path],
) -> float:
    """Returns how far a signature's answers are from a run's own, at most 1e-5.

    Args:
        signature: What was asked; for the message.
        task: Which of its tasks.
        served: The outputs by `output_names`.
        expected: float32 [N, K], the run's own answers.
        images: N files.

    Returns:
        The largest difference of two probabilities; of numbers, as a share of their
        deviation and size.

    Raises:
        ExportError: It is above 1e-5, or a label is not that of its score.
    """
    by = f"by {signature}" + ("" if task.bare else f", task {task.name!r}")
    answered = served[task.output].reshape(len(served[task.output]), -1)
    if answered.shape != expected.shape or not np.isfinite(answered).all():
        raise ExportError(
            f"the exported model ({by}) answers in another shape or with no numbers",
            expected=f"{task.output} {expected.shape}",
            received=f"{answered.shape}",
        )
    apart = np.abs(answered - expected)
    what = "probabilities"
    if task.kind == "regression":
        # A number of any unit; its last digit, too, is a share of its size.
        apart, what = apart / (task.std + np.abs(expected)), "numbers"
    rows = apart.max(axis=1)
    if task.kind == "single_label":
        _, top_labels, top_scores = (served[name] for name in output_names(task))
        top = -np.sort(-expected, axis=1)[:, : top_scores.shape[1]]
        rows = np.maximum(rows, np.abs(top_scores - top).max(axis=1))
    if rows.max() > TOLERANCE:
        worst = images[int(rows.argmax())]
        raise ExportError(
            "the exported model does not answer as its run does; nothing was exported",
            expected=f"the same {what} within {TOLERANCE:g}",
            received=f"{rows.max():.2g} apart {by}, most for {worst}",
        )
    if task.kind == "single_label":
        _compare_labels(by, task, answered, top_labels, images)
    return float(rows.max())


def _compare_labels(
    by: str,
    task: Task,
    probabilities: npt.NDArray[np.float32],
    top_labels: npt.NDArray[Any],
    images: Sequence[Path],
) -> None:
    # By its own probabilities: two that differ by less than the tolerance may change places.
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, : top_labels.shape[1]]
    right = np.array(task.class_names)[order]
    wrong = np.argwhere(top_labels != right)
    if len(wrong):
        row, column = wrong[0]
        raise ExportError(
            f"the exported model ({by}) names another class than its probabilities say",
            expected=f"{str(right[row, column])!r} for {images[row]}",
            received=repr(str(top_labels[row, column])),
        )
