"""Mean result of a trial over folds."""

from __future__ import annotations

import statistics

import pytest

from tuning.hyperparameters.trial import Result, mean_result


def test_mean_result_has_the_mean_and_deviation_of_the_scores() -> None:
    scores, losses = [0.8, 0.9, 0.95], [0.5, 0.4, 0.6]
    found = mean_result([Result(scores[i], None, losses[i], 7, 3 + i) for i in range(3)])
    assert found.score == pytest.approx(statistics.fmean(scores))
    assert found.score_std == pytest.approx(statistics.pstdev(scores))
    assert found.loss == pytest.approx(0.5)
    assert (found.epochs, found.best_epoch) == (7, 4)


def test_mean_result_fails_if_a_fold_failed() -> None:
    found = mean_result([Result(0.9, None, 0.1, 5, 5), Result(epochs=2, failure="no number")])
    assert found == Result(epochs=5, failure="fold 2: no number")
