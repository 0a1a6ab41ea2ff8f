"""Metrics: against worked examples and formulas written out."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from pipelines.evaluation.calibration import brier_score, expected_calibration_error
from pipelines.evaluation.classification import compute_classification_metrics, wilson_interval

NAMES = ["a", "b", "c"]
LABELS = np.array([0, 0, 1, 1, 2, 2])
PROBABILITIES = np.array(
    [
        [0.8, 0.1, 0.1],
        [0.2, 0.7, 0.1],
        [0.1, 0.9, 0.0],
        [0.1, 0.6, 0.3],
        [0.1, 0.1, 0.8],
        [0.5, 0.2, 0.3],
    ],
    np.float32,
)


def test_measure_worked_example() -> None:
    measured = compute_classification_metrics(LABELS, PROBABILITIES, NAMES)
    assert measured["accuracy"] == pytest.approx(4 / 6)
    assert measured["loss"] == pytest.approx(-np.log([0.8, 0.2, 0.9, 0.6, 0.8, 0.3]).mean(), 1e-5)
    expected = {"a": {"a": 1, "b": 1}, "b": {"b": 2}, "c": {"a": 1, "c": 1}}
    assert measured["confusion_matrix"] == expected
    # F1 = 2PR / (P + R): a 1/2 1/2, b 2/3 1, c 1 1/2.
    assert measured["macro_f1"] == pytest.approx((0.5 + 0.8 + 2 / 3) / 3)
    assert measured["per_class"]["b"]["precision"] == pytest.approx(2 / 3)
    assert measured["per_class"]["b"]["support"] == 2
    assert measured["brier"] == brier_score(LABELS, PROBABILITIES)
    assert measured["ece"] == expected_calibration_error(LABELS, PROBABILITIES)
    assert "top5" not in measured, "with three classes it is always right"
    json.dumps(measured, allow_nan=False)


@pytest.mark.parametrize("num_classes", [2, 7, 1000])
def test_confusion_matrix_is_scikit_learns(num_classes: int) -> None:
    rng = np.random.default_rng(num_classes)
    labels = rng.integers(0, num_classes, 500)
    probabilities = rng.dirichlet(np.ones(num_classes), 500).astype(np.float32)
    names = [f"class {i}" for i in range(num_classes)]
    found = compute_classification_metrics(labels, probabilities, names)["confusion_matrix"]
    dense = [[found.get(true, {}).get(name, 0) for name in names] for true in names]
    predicted = probabilities.argmax(axis=1)
    expected = confusion_matrix(labels, predicted, labels=np.arange(num_classes))
    assert np.array_equal(dense, expected)


def test_measure_top5_counts_the_five_likeliest() -> None:
    probabilities = np.tile(np.array([0.3, 0.2, 0.15, 0.13, 0.12, 0.1], np.float32), (6, 1))
    measured = compute_classification_metrics(np.arange(6), probabilities, list("abcdef"))
    assert measured["top5"] == pytest.approx(5 / 6)
    assert measured["accuracy"] == pytest.approx(1 / 6)


def test_measure_of_a_split_without_one_class() -> None:
    measured = compute_classification_metrics(np.array([0, 1]), PROBABILITIES[[0, 2]], NAMES)
    assert measured["macro_f1"] == 1.0, "a class with no image has no F1 to average"
    assert measured["per_class"]["c"]["support"] == 0


@given(st.integers(1, 500), st.data())
def test_wilson_interval_is_its_formula(count: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, count))
    low, high = wilson_interval(hits, count)
    z, p = 1.959963984540054, hits / count
    center = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    assert (low, high) == pytest.approx((max(center - half, 0), min(center + half, 1)), abs=1e-9)
    assert 0 <= low <= p <= high <= 1


def test_wilson_interval_of_no_trials_is_0_to_1() -> None:
    assert wilson_interval(0, 0) == [0.0, 1.0]
