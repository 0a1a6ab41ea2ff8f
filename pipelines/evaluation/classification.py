"""Metrics of single-label classification, with 95 % confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.evaluation.calibration import brier_score, expected_calibration_error

TOP_K = 5


def compute_classification_metrics(
    labels: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float32],
    class_names: Sequence[str],
) -> dict[str, Any]:
    """Computes the metrics of predicted class probabilities.

    Args:
        labels: The true classes, int64 [N], in 0 to C - 1.
        probabilities: float32 [N, C], rows summing to 1.
        class_names: C names in the order of the outputs.

    Returns:
        JSON values: `loss` (cross-entropy in nats); `accuracy` and `top5` in 0 to 1,
        with their intervals; `macro_f1` over the classes that have images; `brier` and `ece`,
        see `pipelines.evaluation.calibration`; `per_class`, by name the precision, recall, f1 and
        support; `confusion_matrix`, the number of images by true class, then by
        predicted class, without pairs that have none. `top5` is omitted with five classes
        or fewer.
    """
    from sklearn import metrics

    classes = np.arange(len(class_names))
    predicted = probabilities.argmax(axis=1)
    # log_loss warns where rows do not sum to 1 within float64's precision.
    normalized = probabilities.astype(np.float64)
    normalized /= normalized.sum(axis=1, keepdims=True)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=classes, zero_division=0
    )
    hits = int((predicted == labels).sum())
    result: dict[str, Any] = {
        "num_images": len(labels),
        "loss": float(metrics.log_loss(labels, normalized, labels=classes)),
        "accuracy": hits / len(labels),
        "accuracy_interval": wilson_interval(hits, len(labels)),
    }
    if len(class_names) > TOP_K:
        top_classes = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP_K]
        top_hits = int((top_classes == labels[:, None]).any(axis=1).sum())
        result["top5"] = top_hits / len(labels)
        result["top5_interval"] = wilson_interval(top_hits, len(labels))
    result["macro_f1"] = float(f1[support > 0].mean())
    result["brier"] = brier_score(labels, probabilities)
    result["ece"] = expected_calibration_error(labels, probabilities)
    result["per_class"] = {
        name: {
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "recall_interval": wilson_interval(round(recall[i] * support[i]), int(support[i])),
            "f1": float(f1[i]),
            "support": int(support[i]),
        }
        for i, name in enumerate(class_names)
    }
    result["confusion_matrix"] = _count_pairs(labels, predicted, class_names)
    return result


def _count_pairs(
    labels: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], class_names: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Counts the images of each pair of true and predicted class that occurs."""
    pairs, counts = np.unique(np.stack([labels, predicted]), axis=1, return_counts=True)
    found: dict[str, dict[str, int]] = {}
    for (true, given), count in zip(pairs.T.tolist(), counts.tolist(), strict=True):
        found.setdefault(class_names[true], {})[class_names[given]] = count
    return found


def wilson_interval(hits: int, count: int) -> list[float]:
    """Computes the 95 % Wilson score interval of a proportion.

    Unlike the normal approximation, it stays inside 0 to 1 and holds for few images.

    Args:
        hits: Number of successes, 0 to `count`.
        count: Number of trials.

    Returns:
        The lower and the upper bound, in 0 to 1; 0 and 1 if `count` is 0.

    Reference: Wilson, 1927, https://doi.org/10.1080/01621459.1927.10502953

    Example:
        >>> [round(x, 3) for x in wilson_interval(135, 153)]
        [0.822, 0.924]
    """
    from scipy.stats import binomtest

    if count == 0:
        return [0.0, 1.0]
    interval = binomtest(hits, count).proportion_ci(0.95, method="wilson")
    return [float(interval.low), float(interval.high)]
