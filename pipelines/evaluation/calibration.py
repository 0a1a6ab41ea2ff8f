"""Calibration of probabilities: whether an answer of 80 % is right in 80 of 100 images."""

from __future__ import annotations

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
    # Bins are (low, high]: a confidence of exactly 1 falls into the last.
    bins = np.clip(np.ceil(confidence * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)
    gaps = np.bincount(bins, correct - confidence, minlength=NUM_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


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
