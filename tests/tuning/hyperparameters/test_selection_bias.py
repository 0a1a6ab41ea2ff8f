"""Corrected scores: the paper's algorithm by hand, and what other images say."""

from __future__ import annotations

import numpy as np
import pytest

from tuning.hyperparameters.choice import choose_best
from tuning.hyperparameters.image_scores import ImageScores
from tuning.hyperparameters.selection_bias import CorrectedScore, correct_score
from tuning.hyperparameters.trial import Result, Trial

Trials = list[ImageScores]


def draw_trials(
    rng: np.random.Generator, skills: np.ndarray, num_images: int, num_epochs: int = 1
) -> Trials:
    """Trials that answer each image rightly by chance, each epoch for itself."""
    shape = num_epochs, num_images
    return [
        ImageScores.of(rng.random(shape) < skill, 0.01 + rng.exponential(size=shape))
        for skill in skills
    ]


def correct_by_hand(
    trials: Trials, folds: np.ndarray, draws: list[np.ndarray], *, maximize: bool
) -> np.ndarray:
    """Score of the winner of each resample on the images left out, image by image."""
    found = []
    for draw in draws:
        entries, values = [], []
        for trial in trials:
            scores, losses = trial.values().astype(np.float64)
            epochs = []
            for epoch in range(len(scores)):
                by_fold = [
                    (scores[epoch, drawn].mean(), losses[epoch, drawn].mean())
                    for fold in np.unique(folds)
                    if len(drawn := draw[folds[draw] == fold])
                ]
                score, loss = np.mean(by_fold, axis=0)
                epochs.append((-score if maximize else score, loss, epoch, np.std(by_fold, 0)[0]))
            score, loss, epoch, spread = min(epochs)
            entries.append(Result(abs(score), spread, loss))
            left_out = np.setdiff1d(np.arange(len(folds)), draw)
            values.append(scores[epoch, left_out].mean())
        named = [(Trial(str(number), {}), result) for number, result in enumerate(entries)]
        best = choose_best(named, maximize=maximize, num_folds=len(np.unique(folds)))
        assert best is not None
        found.append(values[int(best[0].id)])
    return np.array(found)


@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize(("num_folds", "num_epochs"), [(1, 1), (1, 4), (3, 4)])
def test_correction_is_the_algorithm_of_the_paper(
    maximize: bool, num_folds: int, num_epochs: int
) -> None:
    rng = np.random.default_rng(1)
    trials, folds = draw_trials(rng, np.full(6, 0.7), 30, num_epochs), np.arange(30) % num_folds
    if not maximize:
        trials = [ImageScores.of(losses, losses) for _, losses in (t.values() for t in trials)]
    found = correct_score(trials, folds, maximize=maximize, seed=2, num_samples=40)
    counts = np.random.default_rng(2).multinomial(30, np.full(30, 1 / 30), 40)
    draws = [np.repeat(np.arange(30), row) for row in counts]
    expected = correct_by_hand(trials, folds, draws, maximize=maximize)
    low, high = np.quantile(expected, [0.025, 0.975])
    assert found == CorrectedScore(*map(pytest.approx, (expected.mean(), low, high)))  # type: ignore[arg-type]


def test_best_of_many_guesses_is_a_guess() -> None:
    raw, corrected = [], []
    for seed in range(10):
        trials = draw_trials(np.random.default_rng(seed), np.full(200, 0.5), 100, 5)
        raw.append(max(trial.values()[0].mean(axis=1).max() for trial in trials))
        found = correct_score(trials, np.zeros(100, np.int64), maximize=True, seed=0)
        assert found is not None
        corrected.append(found.score)
        assert found.low < 0.5 < found.high
    assert np.mean(raw) > 0.64
    assert np.mean(corrected) == pytest.approx(0.5, abs=0.02)


def test_score_of_a_trial_that_stands_out_stays() -> None:
    rng = np.random.default_rng(3)
    trials = draw_trials(rng, np.array([0.5] * 20 + [0.95]), 200)
    found = correct_score(trials, np.zeros(200, np.int64), maximize=True, seed=0)
    assert found is not None
    assert found.score == pytest.approx(trials[-1].values()[0].mean(), abs=0.005)


def test_copies_are_drawn_together() -> None:
    """A hundred images of ten groups say no more than ten images."""
    rng = np.random.default_rng(4)
    of_groups = draw_trials(rng, np.full(30, 0.7), 10)
    copied = [ImageScores.of(*np.repeat(trial.values(), 10, axis=2)) for trial in of_groups]
    folds, groups = np.zeros(100, np.int64), np.repeat(np.arange(10), 10)
    together = correct_score(copied, folds, groups, maximize=True, seed=0)
    assert together == correct_score(of_groups, folds[:10], maximize=True, seed=0)
    alone = correct_score(copied, folds, maximize=True, seed=0)
    assert together is not None
    assert alone is not None
    assert together.high - together.low > 2 * (alone.high - alone.low)


@pytest.mark.parametrize("groups", [None, np.zeros(8, np.int64)])
def test_too_little_is_not_corrected(groups: np.ndarray | None) -> None:
    trials = draw_trials(np.random.default_rng(5), np.full(3, 0.5), 8)
    folds = np.zeros(8, np.int64)
    assert (correct_score(trials, folds, groups, maximize=True, seed=0) is None) == (
        groups is not None
    )
    assert correct_score([], folds, maximize=True, seed=0) is None


def test_trial_of_other_images_is_refused() -> None:
    trials = draw_trials(np.random.default_rng(6), np.full(3, 0.5), 8)
    with pytest.raises(ValueError, match="8 images; expected 9"):
        correct_score(trials, np.zeros(9, np.int64), maximize=True, seed=0)
