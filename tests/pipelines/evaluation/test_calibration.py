"""Calibration error and Brier score: worked examples, formulas written out, scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, mean_squared_error

from pipelines.evaluation.calibration import (
    brier_score,
    compute_reliability,
    expected_calibration_error,
    label_brier_score,
    label_calibration_error,
)


def test_calibration_error_worked_example() -> None:
    # Two bins of fifteen: confidence 0.95, right in one of two; 0.55, right in both.
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.55, 0.45], [0.55, 0.45]], np.float32)
    error = expected_calibration_error(np.array([0, 1, 0, 0]), probabilities)
    assert error == pytest.approx(0.5 * 0.45 + 0.5 * 0.45, abs=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(2, 7))
def test_calibration_error_is_its_formula(seed: int, count: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(classes), count).astype(np.float32)
    labels = rng.integers(0, classes, count)
    confidence, right = probabilities.max(1).astype(float), probabilities.argmax(1) == labels
    expected = _gap(confidence, right)
    assert expected_calibration_error(labels, probabilities) == pytest.approx(expected, abs=1e-6)


def _gap(confidence: np.ndarray, right: np.ndarray) -> float:
    expected = 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return expected


def test_calibration_error_of_labels_worked_example() -> None:
    # Said with 0.9: yes, yes and no; right in two of three. Said with 0.6: no; right.
    targets = np.array([[1, 0], [0, 0]], np.float32)
    probabilities = np.array([[0.9, 0.1], [0.9, 0.4]], np.float32)
    expected = 0.75 * abs(2 / 3 - 0.9) + 0.25 * abs(1 - 0.6)
    assert label_calibration_error(targets, probabilities) == pytest.approx(expected, abs=1e-6)


def test_calibration_error_of_labels_is_that_of_classes_yes_and_no() -> None:
    rng = np.random.default_rng(0)
    p = rng.random((50, 3)).astype(np.float32)
    targets = rng.integers(0, 2, (50, 3))
    pairs = np.stack([1 - p.ravel(), p.ravel()], axis=1)
    assert label_calibration_error(targets.astype(np.float32), p) == pytest.approx(
        expected_calibration_error(targets.ravel(), pairs), abs=1e-6
    )


def test_brier_score_worked_example() -> None:
    probabilities = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.5, 0.3, 0.2]], np.float32)
    labels = np.array([0, 1, 0])
    # Certain and right, certain and wrong, and (1 − 0.5)² + 0.3² + 0.2².
    assert brier_score(labels, probabilities) == pytest.approx((0 + 2 + 0.38) / 3)


@pytest.mark.parametrize("num_classes", [3, 10])
def test_brier_score_is_scikit_learns(num_classes: int) -> None:
    rng = np.random.default_rng(num_classes)
    probabilities = rng.dirichlet(np.ones(num_classes), 80)
    labels = rng.integers(0, num_classes, 80)
    expected = brier_score_loss(labels, probabilities, labels=np.arange(num_classes))
    assert brier_score(labels, probabilities) == pytest.approx(expected, rel=1e-12)


def test_brier_score_of_labels_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    p, targets = rng.random((40, 5)), rng.integers(0, 2, (40, 5))
    found = label_brier_score(targets.astype(np.float32), p)
    assert found == pytest.approx(brier_score_loss(targets.ravel(), p.ravel()), rel=1e-12)
    assert found == pytest.approx(mean_squared_error(targets, p), rel=1e-12)
    # Of two classes the square counts for both.
    pairs = np.stack([1 - p[:, 0], p[:, 0]], axis=1)
    assert brier_score(targets[:, 0], pairs) == pytest.approx(
        2 * label_brier_score(targets[:, :1].astype(np.float32), p[:, :1]), rel=1e-12
    )


@pytest.mark.parametrize("classes", [2, 5])
def test_reliability_is_scikit_learns(classes: int) -> None:
    rng = np.random.default_rng(classes)
    probabilities = rng.dirichlet(np.full(classes, 0.5), 300).astype(np.float32)
    labels = rng.integers(0, classes, 300)
    bins = compute_reliability(labels, probabilities)
    right = probabilities.argmax(1) == labels
    accuracy, confidence = calibration_curve(
        right, probabilities.max(1).astype(float), n_bins=15, strategy="uniform"
    )
    assert [b.accuracy for b in bins] == pytest.approx(accuracy)
    assert [b.confidence for b in bins] == pytest.approx(confidence)
    assert sum(b.count for b in bins) == 300
    gaps = [b.count / 300 * abs(b.accuracy - b.confidence) for b in bins]
    assert sum(gaps) == pytest.approx(expected_calibration_error(labels, probabilities))
    assert all(b.low < b.confidence <= b.high for b in bins)
