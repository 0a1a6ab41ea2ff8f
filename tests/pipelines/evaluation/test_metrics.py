"""Metrics of labels and numbers: against worked examples and formulas written out."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pipelines.evaluation.calibration import label_calibration_error
from pipelines.evaluation.classification import compute_classification_metrics
from pipelines.evaluation.metrics import (
    compute_metrics,
    compute_multi_label_metrics,
    compute_regression_metrics,
)
from pipelines.sources.source import Examples
from zoo.tasks import Task, classification

TARGETS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]], np.float32)
PREDICTED = np.array(
    [[0.9, 0.2, 0.1], [0.4, 0.8, 0.1], [0.6, 0.7, 0.7], [0.1, 0.3, 0.2]], np.float32
)


def test_labels_worked_example() -> None:
    measured = compute_multi_label_metrics(TARGETS, PREDICTED, ["a", "b", "c"])
    likely = np.where(TARGETS == 1, PREDICTED, 1 - PREDICTED)
    assert measured["loss"] == pytest.approx(-np.log(likely).mean(), rel=1e-6)
    # The first and the last are right in every label.
    assert measured["exact_match"] == 0.5
    a, b, c = measured["per_label"].values()
    assert (a["precision"], a["recall"], a["f1"], a["support"]) == (0.5, 0.5, 0.5, 2)
    assert (b["precision"], b["recall"], b["f1"], b["support"]) == (1, 1, 1, 2)
    # Ranked 0.9 yes, 0.6 no, 0.4 yes: precision 1 at the first, 2/3 at the third.
    assert a["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert (c["support"], c["average_precision"]) == (0, None)
    assert measured["macro_f1"] == 0.75, "a label that no image has does not count"
    assert measured["mean_average_precision"] == pytest.approx((a["average_precision"] + 1) / 2)
    assert measured["brier"] == pytest.approx(np.square(TARGETS - PREDICTED).mean(), rel=1e-6)
    assert measured["ece"] == label_calibration_error(TARGETS, PREDICTED)
    # Yes to a, b, a, b, c; right three times; four to be found.
    assert measured["micro_f1"] == pytest.approx(2 * 3 / (5 + 4))
    json.dumps(measured, allow_nan=False)


def test_labels_that_no_image_has_and_certain_predictions() -> None:
    nothing = np.zeros((2, 3), np.float32)
    measured = compute_multi_label_metrics(nothing, nothing, ["a", "b", "c"])
    assert measured["macro_f1"] is None
    assert measured["mean_average_precision"] is None
    assert measured["loss"] == pytest.approx(0, abs=1e-12)
    assert np.isfinite(compute_multi_label_metrics(nothing + 1, nothing, ["a", "b", "c"])["loss"])
    json.dumps(measured, allow_nan=False)


def test_one_label_alone_is_measured() -> None:
    measured = compute_multi_label_metrics(TARGETS[:, :1], PREDICTED[:, :1], ["a"])
    assert measured["per_label"]["a"]["f1"] == 0.5


def test_numbers_are_their_formulas() -> None:
    target = np.array([1, 2, 3, 6], np.float32)
    value = np.array([1, 3, 3, 4], np.float32)
    measured = compute_regression_metrics(target, value)
    assert measured["mae"] == 0.75
    assert measured["rmse"] == pytest.approx(np.sqrt(5 / 4))
    assert measured["r2"] == pytest.approx(1 - 5 / 14)
    assert compute_regression_metrics(target[:1], value[:1])["r2"] is None
    assert compute_regression_metrics(target, np.full(4, 3, np.float32))["r2"] == 0, (
        "the mean explains nothing"
    )


def test_tasks_are_measured_each_by_its_kind() -> None:
    tasks = [
        Task("letter", "single_label", class_names=("x", "y")),
        Task("tags", "multi_label", class_names=("a", "b", "c")),
        Task("size", "regression", mean=2.0, std=3.0),
    ]
    labels = np.array([0, 1, 1, 0])
    numbers = np.array([1, 2, 3, 6], np.float32)
    letters = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.5, 0.5]], np.float32)
    examples = Examples(
        tuple("0123"), labels, targets={"letter": labels, "tags": TARGETS, "size": numbers}
    )
    predictions = {"letter": letters, "tags": PREDICTED, "size": numbers[:, None] + 1}
    measured = compute_metrics(examples, predictions, tasks)
    assert measured["num_images"] == 4
    assert measured["tasks"]["letter"] == compute_classification_metrics(
        labels, letters, ("x", "y")
    )
    assert measured["tasks"]["tags"]["exact_match"] == 0.5
    assert measured["tasks"]["size"]["mae"] == 1, "in the number's own unit"
    plain = replace(examples, targets={"label": labels})
    alone = compute_metrics(plain, {"label": letters}, classification("xy"))
    assert alone == measured["tasks"]["letter"], "of a plain classifier, without its name"
