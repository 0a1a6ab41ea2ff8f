"""Calibration of probabilities: whether an answer of 80 % is right in 80 of 100 images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

NUM_BINS = 15
"""Bins of equal width over the confidence, as Guo et al. have them."""

Probabilities = npt.NDArray[np.floating[Any]]


def expected_calibration_error(
    labels: npt.NDArray[np.int64], probabilities: Probabilities
) -> float:
    """Computes the expected calibration error, Σ_b n_b / N · |accuracy_b − confidence_b|.

    The confidence of an answer is the probability of the class that it names; b are 15 bins
    of equal width over it.

    Args:
        labels: The true classes, int64 [N].
        probabilities: [N, C], rows summing to 1.

    Returns:
        The mean gap between confidence and accuracy, in 0 to 1.

    Reference: Guo et al., 2017, https://arxiv.org/abs/1706.04599
    """
    correct = probabilities.argmax(axis=1) == labels
    return _mean_gap(probabilities.max(axis=1).astype(np.float64), correct)


@dataclass(frozen=True)
class ReliabilityBin:
    """The answers of about one confidence.

    Args:
        low: Lower end of the confidence, exclusive.
        high: Upper end, inclusive.
        count: Number of answers, at least 1.
        confidence: Their mean confidence, 0 to 1.
        accuracy: The fraction that is right, 0 to 1.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def compute_reliability(
    labels: npt.NDArray[np.int64], probabilities: Probabilities
) -> list[ReliabilityBin]:
    """Computes what a reliability diagram shows, with the bins of the calibration error.

    Args:
        labels: The true classes, int64 [N].
        probabilities: [N, C], rows summing to 1.

    Returns:
        The bins that have answers, by rising confidence.

    Reference: DeGroot and Fienberg, 1983, https://doi.org/10.2307/2987588
    """
    correct = probabilities.argmax(axis=1) == labels
    confidence = probabilities.max(axis=1).astype(np.float64)
    bins = _bins_of(confidence)
    counts = np.bincount(bins, minlength=NUM_BINS)
    sums = np.bincount(bins, confidence, minlength=NUM_BINS)
    hits = np.bincount(bins, correct, minlength=NUM_BINS)
    return [
        ReliabilityBin(
            b / NUM_BINS,
            (b + 1) / NUM_BINS,
            int(counts[b]),
            float(sums[b] / counts[b]),
            float(hits[b] / counts[b]),
        )
        for b in np.flatnonzero(counts).tolist()
    ]


def label_calibration_error(
    targets: npt.NDArray[np.float32], probabilities: Probabilities
) -> float:
    """Computes the expected calibration error of labels, each a class of its own: yes or no.

    Args:
        targets: [N, L], each 0 or 1.
        probabilities: [N, L]; a label is predicted from one half on.

    Returns:
        As `expected_calibration_error`, over all labels of all images.
    """
    p = probabilities.astype(np.float64).ravel()
    return _mean_gap(np.maximum(p, 1 - p), (p >= 0.5) == targets.ravel())


def _mean_gap(confidence: npt.NDArray[np.float64], correct: npt.NDArray[np.bool_]) -> float:
    gaps = np.bincount(_bins_of(confidence), correct - confidence, minlength=NUM_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def _bins_of(confidence: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    # Bins are (low, high]: a confidence of exactly 1 falls into the last.
    return np.clip(np.ceil(confidence * NUM_BINS).astype(np.int64) - 1, 0, NUM_BINS - 1)


def brier_score(labels: npt.NDArray[np.int64], probabilities: Probabilities) -> float:
    """Computes the Brier score, the mean over images of Σ_c (p_c − t_c)².

    Args:
        labels: The true classes, int64 [N].
        probabilities: [N, C], rows summing to 1.

    Returns:
        0, certain and right, to 2, certain and wrong; with two classes it is twice the square
        of the error in the probability of one of them.

    Reference: Brier, 1950, https://doi.org/10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2
    """
    p = probabilities.astype(np.float64)
    true = p[np.arange(len(p)), labels]
    return float((np.einsum("nc,nc->n", p, p) - 2 * true + 1).mean())


def label_brier_score(targets: npt.NDArray[np.float32], probabilities: Probabilities) -> float:
    """Computes the Brier score of labels, the mean over images and labels of (p − t)².

    Args:
        targets: [N, L], each 0 or 1.
        probabilities: [N, L].

    Returns:
        0 to 1.
    """
    return float(np.square(probabilities.astype(np.float64) - targets).mean())
