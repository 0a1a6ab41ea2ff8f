"""Counts by threshold: definitions written out, and scikit-learn's precision and recall."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_score, recall_score

from pipelines.inspection.report.thresholds import THRESHOLDS, count_by_threshold


def draw(seed: int, count: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.4), count).astype(np.float32)
    # Some confidences are exactly a threshold.
    probabilities[::5] = np.eye(classes, dtype=np.float32)[rng.integers(0, classes, count)][::5]
    return rng.integers(0, classes, count), probabilities


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(2, 5))
def test_counts_are_their_definitions(seed: int, count: int, classes: int) -> None:
    labels, probabilities = draw(seed, count, classes)
    counts = count_by_threshold(labels, probabilities)
    confidence, given_class = probabilities.max(1).astype(float), probabilities.argmax(1)
    for at, threshold in enumerate(THRESHOLDS):
        kept = confidence >= threshold
        right = kept & (given_class == labels)
        assert counts.kept[at] == kept.sum()
        assert counts.right[at] == right.sum()
        for c in range(classes):
            assert counts.given[c, at] == (kept & (given_class == c)).sum()
            assert counts.hits[c, at] == (right & (labels == c)).sum()
    assert counts.support.tolist() == [(labels == c).sum() for c in range(classes)]
    assert counts.num_images == count


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.8, 0.995])
def test_precision_and_recall_are_scikit_learns_with_an_answer_for_declined(
    threshold: float,
) -> None:
    labels, probabilities = draw(1, 200, 3)
    counts = count_by_threshold(labels, probabilities)
    at = THRESHOLDS.index(threshold)
    answers = np.where(probabilities.max(1) >= threshold, probabilities.argmax(1), 3)
    options = {"labels": [0, 1, 2], "average": None, "zero_division": 0}
    precision = counts.hits[:, at] / np.maximum(counts.given[:, at], 1)
    assert precision == pytest.approx(precision_score(labels, answers, **options))
    recall = counts.hits[:, at] / counts.support
    assert recall == pytest.approx(recall_score(labels, answers, **options))


def test_thresholds_rise_from_zero_and_stay_below_one() -> None:
    assert list(THRESHOLDS) == sorted(set(THRESHOLDS))
    assert THRESHOLDS[0] == 0
    assert THRESHOLDS[-1] < 1
