"""Choice of the trial to keep, of the scores and losses of all."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from tuning.hyperparameters.trial import Result, Trial

Floats = npt.NDArray[np.floating]


def choose_best(
    completed: Iterable[tuple[Trial, Result]], *, maximize: bool, num_folds: int
) -> tuple[Trial, Result] | None:
    """Chooses the trial to keep: of those that score like the best one, the lowest loss.

    The highest of many scores is high by chance, too. A trial within one standard error of it,
    over the folds, counts as equal (Breiman et al., 1984, Classification and Regression Trees,
    section 3.4.3, who take the simplest of these). The loss tells more about the same images than
    the share of right answers.

    Args:
        completed: Trials with their results. Failed trials are left out.
        maximize: Whether a larger score is better; otherwise the score is the loss itself.
        num_folds: Folds that scores are means over; without several the best score decides.

    Returns:
        The trial and its result; None if all failed.

    Example:
        >>> lucky = Trial("00", {}), Result(score=0.93, score_std=0.02, loss=0.4)
        >>> sound = Trial("01", {}), Result(score=0.925, score_std=0.02, loss=0.2)
        >>> choose_best([lucky, sound], maximize=True, num_folds=5)[0].id
        '01'
        >>> choose_best([lucky, sound], maximize=True, num_folds=0)[0].id
        '00'
    """
    scored = [pair for pair in completed if pair[1].score is not None]
    if not scored:
        return None
    rows = [
        [result.score, math.inf if result.loss is None else result.loss, result.score_std or 0.0]
        for _, result in scored
    ]
    scores, losses, spreads = np.array(rows, np.float64).T[:, np.newaxis]
    return scored[choose(scores, losses, spreads, maximize=maximize, num_folds=num_folds)[0]]


def choose(
    scores: Floats, losses: Floats, spreads: Floats, *, maximize: bool, num_folds: int
) -> npt.NDArray[np.int64]:
    """Chooses the trial to keep as `choose_best` does, in many searches at once.

    Args:
        scores: [B, T], the scores of T trials in each of B searches; NaN is never chosen.
        losses: [B, T].
        spreads: [B, T], standard deviations of the scores over the population of folds.
        maximize: As for `choose_best`.
        num_folds: As for `choose_best`.

    Returns:
        int64 [B], the place of each search's trial; of equal ones the first.
    """
    scores = np.where(np.isnan(scores), -np.inf, scores if maximize else -scores)
    losses = np.where(np.isnan(losses), np.inf, losses)
    searches = np.arange(len(scores))
    least = scores.max(axis=1)
    if maximize and num_folds > 1:
        best = _first(scores == least[:, np.newaxis], losses)
        least = least - spreads[searches, best] / math.sqrt(num_folds - 1)
    equal = scores >= least[:, np.newaxis]
    lowest = np.where(equal, losses, np.inf).min(axis=1, keepdims=True)
    return _first(equal & (losses == lowest), -scores)


def _first(eligible: npt.NDArray[np.bool_], keys: Floats) -> npt.NDArray[np.int64]:
    """Returns of each row the place of the smallest key among those that are eligible."""
    largest = np.finfo(np.float64).max
    return np.argmin(np.where(eligible, np.minimum(keys, largest), np.inf), axis=1)
