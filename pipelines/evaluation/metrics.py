"""Metrics of predictions, by the kind of each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.evaluation.calibration import label_brier_score, label_calibration_error
from pipelines.evaluation.classification import compute_classification_metrics, wilson_interval
from pipelines.evaluation.decision import compute_set_metrics
from pipelines.evaluation.predictions import Answers
from pipelines.evaluation.training_twins import (
    TrainingTwins,
    compute_accuracy_without,
    compute_error_without,
)
from pipelines.evaluation.unknown import Scores, compute_unknown_metrics
from pipelines.sources.source import Examples
from pipelines.storage.split_metrics import SplitMetrics
from zoo.tasks import Task


def compute_metrics(
    examples: Examples,
    predictions: Mapping[str, npt.NDArray[np.float32]],
    tasks: Sequence[Task],
    sets: Mapping[str, npt.NDArray[np.bool_]] | None = None,
    twins: TrainingTwins | None = None,
) -> SplitMetrics:
    """Computes the metrics of a model's predictions on one split.

    Args:
        examples: The split, N images.
        predictions: float32 [N, K] by task.
        tasks: What the model predicts.
        sets: Which classes or labels are in the answer, bool [N, K], by task that has a rule.
        twins: Which images have a near-duplicate among those that were trained on; None where
            that is not known.

    Returns:
        JSON values: of a plain classifier, what `compute_classification_metrics` returns;
        of several tasks, `num_images` and the metrics by task under `tasks`. Of classes with
        sets there is `prediction_sets`, see `pipelines.evaluation.decision.compute_set_metrics`;
        with twins `without_near_duplicates`.
    """
    metrics: dict[str, Any] = {}
    for task in tasks:
        targets, predicted = examples.targets[task.name], predictions[task.name]
        members = (sets or {}).get(task.name)
        metrics[task.name] = _compute_task_metrics(task, targets, predicted, members)
        if twins is not None:
            found = _compute_without(twins, task, targets, predicted, members)
            metrics[task.name]["without_near_duplicates"] = found
    if tasks[0].bare:
        return metrics[tasks[0].name]
    return {"num_images": len(examples), "tasks": metrics}


def compute_answer_metrics(
    examples: Examples,
    answers: Answers,
    tasks: Sequence[Task],
    foreign: Scores | None = None,
    twins: TrainingTwins | None = None,
) -> SplitMetrics:
    """Computes the metrics of a model's predictions on one split, and of its unknown scores.

    Args:
        examples: The split, N images.
        answers: What the model says about them.
        tasks: What it predicts.
        foreign: Unknown scores of images of none of the classes, float32 [M], if there are any.
        twins: As of `compute_metrics`.

    Returns:
        What `compute_metrics` returns; where there are scores, with `unknown`, see
        `pipelines.evaluation.unknown.compute_unknown_metrics`.
    """
    metrics = compute_metrics(examples, answers.predictions, tasks, answers.sets, twins)
    if answers.unknown_scores is not None:
        metrics["unknown"] = compute_unknown_metrics(answers.unknown_scores, foreign)
    return metrics


def _compute_task_metrics(
    task: Task,
    targets: npt.NDArray[Any],
    predictions: npt.NDArray[np.float32],
    members: npt.NDArray[np.bool_] | None,
) -> dict[str, Any]:
    if task.kind == "single_label":
        metrics = compute_classification_metrics(targets, predictions, task.class_names)
        if members is not None:
            metrics["prediction_sets"], by_class = compute_set_metrics(
                targets, members, task.class_names
            )
            for name, values in by_class.items():
                metrics["per_class"][name] |= values
        return metrics
    if task.kind == "multi_label":
        return compute_multi_label_metrics(targets, predictions, task.class_names, members)
    return compute_regression_metrics(targets, predictions[:, 0])


def _compute_without(
    twins: TrainingTwins,
    task: Task,
    targets: npt.NDArray[Any],
    predictions: npt.NDArray[np.float32],
    members: npt.NDArray[np.bool_] | None,
) -> dict[str, Any]:
    if task.kind == "single_label":
        right = predictions.argmax(axis=1) == targets
        return compute_accuracy_without(twins, right, "accuracy")
    if task.kind == "multi_label":
        predicted = predictions >= 0.5 if members is None else members
        right = (predicted == targets).all(axis=1)
        return compute_accuracy_without(twins, right, "exact_match")
    errors = targets.astype(np.float64) - predictions[:, 0].astype(np.float64)
    return compute_error_without(twins, errors)


def compute_multi_label_metrics(
    targets: npt.NDArray[np.float32],
    probabilities: npt.NDArray[np.float32],
    label_names: Sequence[str],
    predicted: npt.NDArray[np.bool_] | None = None,
) -> dict[str, Any]:
    """Computes the metrics of multi-label classification.

    Args:
        targets: float32 [N, L], each 0 or 1.
        probabilities: float32 [N, L].
        label_names: L names in the order of the outputs.
        predicted: Which labels are predicted, bool [N, L]; None predicts from one half on.

    Returns:
        JSON values: `loss` (binary cross-entropy in nats, the mean over images and
        labels); `exact_match` (the share of images with every label right), with its
        interval; `macro_f1` and `micro_f1`; `mean_average_precision`; `brier` and `ece`, see
        `pipelines.evaluation.calibration`; `per_label`, by name
        the precision, recall, f1, average precision and support. Means over labels
        include those that some image has; they are null if there are none.
    """
    from sklearn import metrics

    predicted = probabilities >= 0.5 if predicted is None else predicted
    support = targets.sum(axis=0).astype(np.int64)
    has_images = support > 0
    precision, recall, f1 = np.transpose(
        [
            metrics.precision_recall_fscore_support(
                targets[:, i], predicted[:, i], average="binary", zero_division=0
            )[:3]
            for i in range(len(label_names))
        ]
    )
    average_precisions = [
        float(metrics.average_precision_score(targets[:, i], probabilities[:, i]))
        if has_images[i]
        else None
        for i in range(len(label_names))
    ]
    num_exact = int((predicted == targets).all(axis=1).sum())
    return {
        "num_images": len(targets),
        "loss": _binary_cross_entropy(targets, probabilities),
        "exact_match": num_exact / len(targets),
        "exact_match_interval": wilson_interval(num_exact, len(targets)),
        "macro_f1": float(f1[has_images].mean()) if has_images.any() else None,
        "micro_f1": float(metrics.f1_score(targets.ravel(), predicted.ravel(), zero_division=0)),
        "mean_average_precision": (
            float(np.mean([value for value in average_precisions if value is not None]))
            if has_images.any()
            else None
        ),
        "brier": label_brier_score(targets, probabilities),
        "ece": label_calibration_error(targets, probabilities),
        "per_label": {
            name: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "recall_interval": wilson_interval(round(recall[i] * support[i]), int(support[i])),
                "f1": float(f1[i]),
                "average_precision": average_precisions[i],
                "support": int(support[i]),
            }
            for i, name in enumerate(label_names)
        },
    }


def compute_regression_metrics(
    targets: npt.NDArray[np.float32], predictions: npt.NDArray[np.float32]
) -> dict[str, Any]:
    """Computes the metrics of a regression task.

    Args:
        targets: The true numbers, float32 [N].
        predictions: float32 [N].

    Returns:
        JSON values: `mae` and `rmse`, in the number's own unit, and `r2`, the explained
        share of the variance: 1 is perfect, 0 no better than the mean, null if all true
        numbers are equal.
    """
    from sklearn import metrics

    y, predicted = targets.astype(np.float64), predictions.astype(np.float64)
    return {
        "num_images": len(targets),
        "mae": float(metrics.mean_absolute_error(y, predicted)),
        "rmse": float(metrics.root_mean_squared_error(y, predicted)),
        "r2": float(metrics.r2_score(y, predicted)) if y.std() > 0 else None,
    }


def _binary_cross_entropy(
    targets: npt.NDArray[np.float32], probabilities: npt.NDArray[np.float32]
) -> float:
    # A float32 sigmoid reaches 0 and 1, whose logarithms are infinite.
    p = probabilities.astype(np.float64).clip(1e-15, 1 - 1e-15)
    return float(-(targets * np.log(p) + (1 - targets) * np.log1p(-p)).mean())
