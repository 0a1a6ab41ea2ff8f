"""Metrics: how good probabilities are, each share with its 95 % interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

TOP_K = 5


def measure(
    labels: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float32],
    class_names: Sequence[str],
) -> dict[str, Any]:
    """Measures a classifier's answers on one split.

    Args:
        labels: int64 [N], in 0 to C - 1.
        probabilities: float32 [N, C], rows summing to 1.
        class_names: C of them.

    Returns:
        JSON values: `loss` (cross-entropy in nats), `accuracy` and `top5` as
        fractions with their intervals, `macro_f1`, `ece`, `per_class` by name
        with precision, recall, f1 and support, and `confusion_matrix` with true
        classes as rows. `top5` is left out below six classes, where it says
        nothing.
    """
    from sklearn import metrics

    classes = np.arange(len(class_names))
    predicted = probabilities.argmax(axis=1)
    wide = probabilities.astype(np.float64)
    wide /= wide.sum(axis=1, keepdims=True)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=classes, zero_division=0
    )
    hits = int((predicted == labels).sum())
    result: dict[str, Any] = {
        "num_images": len(labels),
        "loss": float(metrics.log_loss(labels, wide, labels=classes)),
        "accuracy": hits / len(labels),
        "accuracy_interval": wilson_interval(hits, len(labels)),
    }
    if len(class_names) > TOP_K:
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP_K]
        top_hits = int((best == labels[:, None]).any(axis=1).sum())
        result["top5"] = top_hits / len(labels)
        result["top5_interval"] = wilson_interval(top_hits, len(labels))
    result["macro_f1"] = float(f1[support > 0].mean())
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
    result["confusion_matrix"] = metrics.confusion_matrix(
        labels, predicted, labels=classes
    ).tolist()
    return result


def wilson_interval(hits: int, count: int) -> list[float]:
    """Returns the 95 % interval of a share: low and high, in 0 to 1.

    Unlike the normal approximation it stays inside 0 to 1 and holds for few
    images. Nothing counted says nothing: 0 to 1.

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


def expected_calibration_error(
    labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float32], num_bins: int = 15
) -> float:
    """Returns by how much confidence and accuracy differ, on average.

    Args:
        labels: int64 [N].
        probabilities: float32 [N, C].
        num_bins: Bins of equal width over the confidence, as in the paper.

    Returns:
        Σ_b n_b / N · |accuracy_b − confidence_b|, 0 to 1.

    Reference: Guo et al., 2017, https://arxiv.org/abs/1706.04599
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    # Bins are (low, high], so that a confidence of exactly 1 has one.
    bins = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)
    gaps = np.bincount(bins, correct - confidence, minlength=num_bins)
    return float(np.abs(gaps).sum() / len(labels))
