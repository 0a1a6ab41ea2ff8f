"""Results of a trial over folds."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from tuning.early_stopping import StoppingConfig
from tuning.hyperparameters.fold_results import mean_result, result_at_common_epoch
from tuning.hyperparameters.trial import Result


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


def _fold(accuracies: list[float], losses: list[float]) -> tuple[Result, list[dict[str, float]]]:
    """Returns the result of a fold at its own best epoch, and its epochs."""
    pairs = zip(accuracies, losses, strict=True)
    rows = [{"loss": 1.0, "val_accuracy": a, "val_loss": b} for a, b in pairs]
    best = max(range(len(rows)), key=lambda i: (accuracies[i], -losses[i]))
    return Result(accuracies[best], None, losses[best], len(rows), best + 1), rows


def test_epoch_is_the_best_for_all_folds_together() -> None:
    """Each fold alone would take its luckiest epoch."""
    folds = [_fold([0.9, 0.7, 0.8], [0.3, 0.5, 0.4]), _fold([0.5, 0.7, 0.9], [0.9, 0.5, 0.2])]
    found = result_at_common_epoch(*zip(*folds, strict=True), StoppingConfig())
    assert found.best_epoch == 3
    assert found.score == pytest.approx((0.8 + 0.9) / 2)
    assert found.score_std == pytest.approx(0.05)
    assert found.loss == pytest.approx((0.4 + 0.2) / 2)
    assert found.epochs == 3
    by_loss = result_at_common_epoch(*zip(*folds, strict=True), StoppingConfig(monitor="val_loss"))
    assert by_loss.score == pytest.approx(0.3)


def test_fold_that_ended_early_keeps_its_last_values() -> None:
    short, long = _fold([0.6, 0.8], [0.6, 0.4]), _fold([0.5, 0.6, 0.7, 0.9], [0.5, 0.4, 0.3, 0.2])
    found = result_at_common_epoch(*zip(short, long, strict=True), StoppingConfig())
    assert (found.best_epoch, found.epochs) == (4, 4)
    assert found.score == pytest.approx((0.8 + 0.9) / 2)


def test_epochs_without_validation_or_with_an_infinite_loss_are_not_the_best() -> None:
    folds = [_fold([0.5, 0.9, 0.7], [0.5, np.inf, 0.3]) for _ in range(2)]
    for _, rows in folds:
        rows.insert(1, {"loss": 1.0})
    found = result_at_common_epoch(
        [Result(0.9, None, 0.1, 4, 3)] * 2, [rows for _, rows in folds], StoppingConfig(every=1)
    )
    assert (found.best_epoch, found.score) == (4, pytest.approx(0.7))


def test_epochs_of_a_head_without_effect_score_what_chance_scores() -> None:
    """Answers at random are right once in two; each fold's own best epoch seems better."""
    rng = np.random.default_rng(0)
    folds = [_fold(list(rng.binomial(50, 0.5, 30) / 50), [0.7] * 30) for _ in range(5)]
    own = mean_result([result for result, _ in folds]).score or 0.0
    common = result_at_common_epoch(*zip(*folds, strict=True), StoppingConfig()).score or 0.0
    assert own > 0.62
    assert common < 0.57
