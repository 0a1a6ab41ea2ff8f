"""Selective prediction: what is gained by declining to answer below a confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

THRESHOLDS = (*(percent / 100 for percent in range(100)), 0.995, 0.999, 0.9995, 0.9999)
"""Confidences from which an answer is kept; finer near 1, where those of a good model lie."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ThresholdCounts:
    """Numbers of images at each threshold t: answers are kept whose confidence is at least t.

    Args:
        kept: Answers that are kept, int64 [T].
        right: Those of them that are right, int64 [T].
        given: Kept answers by the class that they name, int64 [C, T].
        hits: Those of them that are right, int64 [C, T].
        support: Images by true class, int64 [C].
    """

    kept: Counts
    right: Counts
    given: Counts
    hits: Counts
    support: Counts

    @property
    def num_images(self) -> int:
        """N, the number of images."""
        return int(self.support.sum())


def count_by_threshold(
    labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float32]
) -> ThresholdCounts:
    """Counts kept and right answers at each of THRESHOLDS.

    Coverage is kept / N, the accuracy of what is kept right / kept; the precision of a class is
    hits / given, its recall hits / support: a declined image counts as not found.

    Args:
        labels: The true classes, int64 [N].
        probabilities: float32 [N, C], rows summing to 1.

    Reference: El-Yaniv and Wiener, 2010, https://jmlr.org/papers/v11/el-yaniv10a.html
    """
    num_classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1).astype(np.float64)
    # The last threshold that an answer passes.
    last = np.searchsorted(np.array(THRESHOLDS), confidence, side="right") - 1

    def count(chosen: npt.NDArray[np.bool_]) -> Counts:
        table = np.zeros((num_classes, len(THRESHOLDS)), np.int64)
        np.add.at(table, (predicted[chosen], last[chosen]), 1)
        return table[:, ::-1].cumsum(axis=1)[:, ::-1]

    given, hits = count(np.ones(len(labels), bool)), count(predicted == labels)
    support = np.bincount(labels, minlength=num_classes)
    return ThresholdCounts(given.sum(axis=0), hits.sum(axis=0), given, hits, support)
