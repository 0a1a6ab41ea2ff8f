"""Metrics of tasks: how good a model's answers are, whatever it was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.evaluation.classification import measure, wilson_interval
from pipelines.sources.source import Examples
from zoo.tasks import Task


def measure_tasks(
    examples: Examples, answers: Mapping[str, npt.NDArray[np.float32]], tasks: Sequence[Task]
) -> dict[str, Any]:
    """Measures a model's answers on one split.

    Args:
        examples: The split.
        answers: float32 [N, K] by task.
        tasks: What was asked.

    Returns:
        JSON values: for a plain classifier what `measure` returns; else `num_images`, and
        `tasks` with the figures of each by name, from `measure`, `measure_labels` or
        `measure_numbers`.
    """
    figures = {
        task.name: _measure(task, examples.targets[task.name], answers[task.name]) for task in tasks
    }
    if tasks[0].bare:
        return figures[tasks[0].name]
    return {"num_images": len(examples), "tasks": figures}


def _measure(task: Task, target: npt.NDArray[Any], answer: npt.NDArray[np.float32]) -> Any:
    if task.kind == "single_label":
        return measure(target, answer, task.class_names)
    if task.kind == "multi_label":
        return measure_labels(target, answer, task.class_names)
    return measure_numbers(target, answer[:, 0])


def measure_labels(
    target: npt.NDArray[np.float32],
    probabilities: npt.NDArray[np.float32],
    label_names: Sequence[str],
) -> dict[str, Any]:
    """Measures answers to a task of several labels at once.

    Args:
        target: float32 [N, L], each 0 or 1.
        probabilities: float32 [N, L]; from one half on an answer is yes.
        label_names: L of them.

    Returns:
        JSON values: `loss` (binary cross-entropy in nats, the mean over images and
        labels), `exact_match` (the share of images of which every label is right) with
        its interval, `macro_f1` and `micro_f1`, `mean_average_precision`, and
        `per_label` by name with precision, recall, f1, average precision and support.
        Means are over the labels that an image has; null where there is none.
    """
    from sklearn import metrics

    yes = probabilities >= 0.5
    support = target.sum(axis=0).astype(np.int64)
    seen = support > 0
    precision, recall, f1 = np.transpose(
        [
            metrics.precision_recall_fscore_support(
                target[:, i], yes[:, i], average="binary", zero_division=0
            )[:3]
            for i in range(len(label_names))
        ]
    )
    average = [
        float(metrics.average_precision_score(target[:, i], probabilities[:, i])) if has else None
        for i, has in enumerate(seen)
    ]
    exact = int((yes == target).all(axis=1).sum())
    return {
        "num_images": len(target),
        "loss": _binary_cross_entropy(target, probabilities),
        "exact_match": exact / len(target),
        "exact_match_interval": wilson_interval(exact, len(target)),
        "macro_f1": float(f1[seen].mean()) if seen.any() else None,
        "micro_f1": float(metrics.f1_score(target.ravel(), yes.ravel(), zero_division=0)),
        "mean_average_precision": (
            float(np.mean([value for value in average if value is not None]))
            if seen.any()
            else None
        ),
        "per_label": {
            name: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "recall_interval": wilson_interval(round(recall[i] * support[i]), int(support[i])),
                "f1": float(f1[i]),
                "average_precision": average[i],
                "support": int(support[i]),
            }
            for i, name in enumerate(label_names)
        },
    }


def measure_numbers(
    target: npt.NDArray[np.float32], value: npt.NDArray[np.float32]
) -> dict[str, Any]:
    """Measures answers to a task of a number.

    Args:
        target: float32 [N], the right numbers.
        value: float32 [N], the answers.

    Returns:
        JSON values: `mae` and `rmse` in the number's own unit, and `r2`, the share of
        the variance that is explained: 1 is perfect, 0 no better than the mean, null
        where all right numbers are the same.
    """
    from sklearn import metrics

    wide, answered = target.astype(np.float64), value.astype(np.float64)
    varies = wide.std() > 0
    return {
        "num_images": len(target),
        "mae": float(metrics.mean_absolute_error(wide, answered)),
        "rmse": float(metrics.root_mean_squared_error(wide, answered)),
        "r2": float(metrics.r2_score(wide, answered)) if varies else None,
    }


def _binary_cross_entropy(
    target: npt.NDArray[np.float32], probabilities: npt.NDArray[np.float32]
) -> float:
    # A float32 sigmoid reaches 0 and 1, where the logarithm would end.
    p = probabilities.astype(np.float64).clip(1e-15, 1 - 1e-15)
    return float(-(target * np.log(p) + (1 - target) * np.log1p(-p)).mean())
