"""What a search's winner scores on other images than those that chose it.

The best of many scores is best by chance, too: of a thousand trials that all guess, one guesses
well. Bootstrap bias correction (Tsamardinos, Greasidou and Borboudakis, 2018,
https://doi.org/10.1007/s10994-018-5714-4) repeats the choice on resamples of the validation
images and scores the chosen trial on the images that were left out of it. Nothing is trained
again. Epochs are chosen anew as well, which the paper does not have.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tuning.hyperparameters.choice import choose
from tuning.hyperparameters.image_scores import ImageScores

NUM_SAMPLES = 1000
"""Resamples; with so many, the estimate moves by less than a tenth of its interval."""

_LEVELS = 0.025, 0.975

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CorrectedScore:
    """The score of a search's winner, corrected for its being chosen.

    Args:
        score: The mean over all resamples.
        low: The lower bound of the 95 % interval: the 2.5 % quantile over the resamples.
        high: The upper bound.
    """

    score: float
    low: float
    high: float


def correct_score(
    trials: Iterable[ImageScores],
    folds: Ints,
    groups: Ints | None = None,
    *,
    maximize: bool,
    seed: int,
    num_samples: int = NUM_SAMPLES,
) -> CorrectedScore | None:
    """Estimates what the trial that `choose_best` chooses scores on other images.

    Args:
        trials: What N images scored in each trial; read one after the other.
        folds: int64 [N], the fold of each image from 0 on; all 0 without folds.
        groups: int64 [N], the same number for images that are drawn together, as copies are;
            None if each stands alone.
        maximize: Whether a larger score is better; otherwise the score is the loss.
        seed: Seeds the resamples.
        num_samples: B, the number of resamples.

    Returns:
        The corrected score; None where images, or groups of them, are too few to resample, or
        there is no trial.

    Raises:
        ValueError: A trial has another number of images.
    """
    drawn = _draw(np.arange(len(folds)) if groups is None else groups, num_samples, seed)
    # Every fold needs an image to be scored on, and the winner one that did not choose it.
    usable = (drawn == 0).any(axis=1) & np.all(
        [drawn[:, folds == fold].any(axis=1) for fold in np.unique(folds)], axis=0
    )
    if usable.sum() < num_samples / 2:
        return None
    resamples = _Resamples(drawn[usable], folds)
    found = [resamples.score(trial, maximize=maximize) for trial in trials]
    if not found:
        return None
    scores, losses, spreads, unseen = np.stack(found, axis=2)
    num_folds = len(np.unique(folds))
    chosen = choose(scores, losses, spreads, maximize=maximize, num_folds=num_folds)
    of_winner = unseen[np.arange(len(chosen)), chosen]
    low, high = np.quantile(of_winner, _LEVELS)
    return CorrectedScore(float(of_winner.mean()), float(low), float(high))


class _Resamples:
    """Resamples of the images, and the means of scores over them.

    Args:
        drawn: float64 [B, N], how often each resample has each image.
        folds: int64 [N], the fold of each image.
    """

    def __init__(self, drawn: Floats, folds: Ints) -> None:
        self._folds = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
        self._seen = [drawn[:, images] for images in self._folds]
        self._unseen = (drawn == 0).astype(np.float64)
        self._num_images = len(folds)

    def score(self, trial: ImageScores, *, maximize: bool) -> Floats:
        """Scores a trial at the epoch that is best on each resample.

        Returns:
            float64 [4, B]: score, loss and standard deviation of the score over the folds, on
            the images of the resample; score on the others.

        Raises:
            ValueError: The trial has another number of images.
        """
        scores, losses = trial.values().astype(np.float64)
        if scores.shape[1] != self._num_images:
            raise ValueError(f"{scores.shape[1]} images; expected {self._num_images}")
        by_fold = np.stack([self._means(scores), self._means(losses)])  # [2, K, B, E]
        means, spreads = by_fold.mean(axis=1), by_fold[0].std(axis=0)
        best = choose(means[0], means[1], spreads, maximize=maximize, num_folds=1)
        rows = np.arange(len(best))
        unseen = _mean(self._unseen, scores)
        return np.stack([*means[:, rows, best], spreads[rows, best], unseen[rows, best]])

    def _means(self, values: Floats) -> Floats:
        """Returns the mean of values [E, N] over each fold's images, [K, B, E]."""
        return np.stack(
            [
                _mean(weights, values[:, images])
                for weights, images in zip(self._seen, self._folds, strict=True)
            ]
        )


def _draw(groups: Ints, num_samples: int, seed: int) -> Floats:
    """Draws groups with replacement, as many as there are; returns counts of images [B, N]."""
    unique, group_of = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(unique), np.full(len(unique), 1 / len(unique)), num_samples)
    return counts[:, group_of].astype(np.float64)


def _mean(weights: Floats, values: Floats) -> Floats:
    """Returns weighted means of values [E, N] by weights [B, N], float64 [B, E]."""
    # Whole numbers are added first, so that equal shares of right answers are the same bits.
    return (weights @ values.T) / weights.sum(axis=1, keepdims=True)
