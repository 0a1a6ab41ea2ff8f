"""Fits of decision rules: thresholds of prediction sets and of labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tuning.unknown_scores import rank_of_threshold
from zoo.models.decision import SET_METHODS, Floats, PredictionSetRule

USUAL_THRESHOLD = 0.5
"""From which probability on a label is predicted, unless images say otherwise."""


def fit_prediction_sets(
    probabilities: Floats, labels: npt.NDArray[np.int64], method: str, error_rate: float
) -> PredictionSetRule:
    """Fits the threshold with which sets miss the class of a new image at a stated rate.

    Of n scores of true classes and that of a new image, each is the k-th smallest alike. With the
    k-th smallest of the n, k = ⌈(n + 1)(1 − error rate)⌉, the new one is in its set with a
    probability of at least 1 − error rate, and of at most 1 / (n + 1) more where no two scores are
    equal. Where k is above n, sets hold every class.

    Args:
        probabilities: float32 [n, C], of images that the model was not trained on.
        labels: int64 [n], their classes.
        method: A row of SET_METHODS.
        error_rate: Above 0, below 1.

    Reference: Vovk et al., 2005, https://doi.org/10.1007/b106715

    Example:
        >>> halves = np.linspace(0.01, 0.99, 99, dtype=np.float32)
        >>> rule = fit_prediction_sets(
        ...     np.stack([halves, 1 - halves], axis=1), np.zeros(99, int), "least_ambiguous", 0.1
        ... )
        >>> round(rule.threshold, 4)  # k = 90 of 99
        0.9
    """
    count = len(labels)
    rank = rank_of_threshold(count, error_rate)
    if rank > count:
        return PredictionSetRule(method, 1.0)
    scores = SET_METHODS[method].scores(probabilities, np)[np.arange(count), labels]
    return PredictionSetRule(method, float(np.sort(scores)[rank - 1].clip(0, 1)))


def fit_label_thresholds(
    probabilities: Floats, targets: npt.NDArray[np.float32], least_images: int
) -> tuple[float, ...]:
    """Fits the threshold of each label that gives the highest F1.

    A threshold is the middle of two neighboring probabilities; of several that give the same F1,
    the one nearest to a half.

    Args:
        probabilities: float32 [n, L], of images that the model was not trained on.
        targets: float32 [n, L], each 0 or 1.
        least_images: Images that have a label, and images that lack it, for its threshold to be
            fitted; with fewer it is a half.

    Returns:
        L thresholds, above 0 and below 1.

    Reference: Lipton et al., 2014, https://arxiv.org/abs/1402.1892
    """
    return tuple(
        _best_threshold(column, marked)
        if least_images <= marked.sum() <= len(marked) - least_images
        else USUAL_THRESHOLD
        for column, marked in zip(probabilities.T, targets.T > 0.5, strict=True)
    )


def _best_threshold(probabilities: Floats, marked: npt.NDArray[np.bool_]) -> float:
    values = np.unique(probabilities.astype(np.float64))
    candidates = np.append((values[1:] + values[:-1]) / 2, USUAL_THRESHOLD)
    candidates = candidates[(candidates > 0) & (candidates < 1)]

    # Images predicted, and hits among them, of each candidate: those from it on.
    def count(sorted_values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        return len(sorted_values) - np.searchsorted(sorted_values, candidates)

    predicted = count(np.sort(probabilities.astype(np.float64)))
    hits = count(np.sort(probabilities[marked].astype(np.float64)))
    f1 = 2 * hits / (predicted + marked.sum())
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    return float(candidates[best[np.argmin(np.abs(candidates[best] - USUAL_THRESHOLD))]])
