"""The verdict: what it says of a result, and what it does not say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipelines.evaluation.classification import compute_classification_metrics
from pipelines.evaluation.decision import compute_set_metrics
from pipelines.inspection.report.verdict import (
    judge_classification,
    judge_comparison,
    judge_confidence,
    judge_sets,
)


def metrics_of(matrix: list[list[int]]) -> dict[str, Any]:
    """Returns the metrics of a confusion matrix of ants and bees."""
    pairs = [(t, g) for t in (0, 1) for g in (0, 1) for _ in range(matrix[t][g])]
    labels, given = np.array(pairs).T
    probabilities = np.where(given[:, None] == np.arange(2), 0.9, 0.1).astype(np.float32)
    return compute_classification_metrics(labels, probabilities, ("ants", "bees"))


@pytest.mark.parametrize(
    ("matrix", "said"),
    [
        ([[66, 4], [5, 78]], ["144 of 153 test", "“bees”, the largest class", "is above that"]),
        ([[66, 4], [5, 78]], ["5 images of “bees” taken for “ants”"]),
        ([[5, 5], [4, 6]], ["one class, such as “ants”", "do not show that the model knows more"]),
        ([[0, 30], [60, 10]], ["the whole interval is below that", "“ants” is found least often"]),
    ],
)
def test_classification_is_told_beside_the_largest_class(
    matrix: list[list[int]], said: list[str]
) -> None:
    sentences, (_, share) = judge_classification(metrics_of(matrix), "test")
    text = " ".join(sentences)
    for part in said:
        assert part in text
    assert share == max(map(sum, matrix)) / sum(map(sum, matrix))


def test_no_error_is_told_where_there_is_none() -> None:
    text = " ".join(judge_classification(metrics_of([[5, 0], [0, 5]]), "test")[0])
    assert "error" not in text
    assert "found least often" not in text


@pytest.mark.parametrize(
    ("confidence", "word"), [(0.95, "too sure"), (0.85, "not sure enough"), (0.903, "on average")]
)
def test_confidence_is_told_by_its_sign(confidence: float, word: str) -> None:
    assert word in judge_confidence(0.9, confidence, 0.05)


def test_sets_are_told_with_their_size() -> None:
    members = np.array([[True, False], [True, True], [False, False], [False, True]])
    sets, _ = compute_set_metrics(np.array([0, 1, 0, 0]), members, ("ants", "bees"))
    text = judge_sets(sets).replace("\xa0", " ")
    assert "for 50.0 % of the images (95 % interval 15.0 % to 85.0 %)" in text
    assert "with 1 classes on average; 50.0 % of the sets name one class, 25.0 % none." in text


@pytest.mark.parametrize(
    ("accuracies", "p_value", "said"),
    [
        ((0.8, 0.9), 0.001, "“B” is more accurate than “A”"),
        ((0.9, 0.8), 0.001, "“A” is more accurate than “B”"),
        ((0.8, 0.9), 0.2, "do not show which"),
    ],
)
def test_comparison_names_the_better_run_only_if_the_test_does(
    accuracies: tuple[float, float], p_value: float, said: str
) -> None:
    sentences = judge_comparison(("A", "B"), accuracies, (-0.1, 0.2), p_value, (3, 1))
    assert said in sentences[0]
    assert "3 images only “B”" in sentences[2]
    assert ("+10.0" if accuracies[1] > accuracies[0] else "−10.0") in sentences[1]
