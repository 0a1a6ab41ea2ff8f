"""Trials of a hyperparameter search, their results, and their ranking."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

_Number = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class Trial:
    """One setting of the hyperparameters, to be trained and scored.

    Args:
        id: Its number, with leading zeros.
        values: From the path of a searched setting to its value. A setting whose condition
            does not hold is absent.
        epochs: Epochs after which it is stopped; 0 for all epochs of the recipe.
    """

    id: str
    values: Mapping[str, Any]
    epochs: int = 0

    def to_json(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Trial:
        """Reads what `to_json` returned."""
        return cls(**values)


@dataclass(frozen=True)
class Result:
    """The result of a trial.

    Args:
        score: The best value of the monitored metric; with folds, the best mean over them. None
            if the trial failed.
        score_std: Standard deviation of the score over the folds; None without folds.
        loss: The validation loss of the best epoch; of equal scores the lower loss is better.
        epochs: Epochs trained; with folds, the most of any fold.
        best_epoch: The best epoch, counted from 1; with folds, the best for all together.
        failure: Why the trial failed; empty if it did not.
    """

    score: _Number | None = None
    score_std: Annotated[_Number, Field(ge=0)] | None = None
    loss: _Number | None = None
    epochs: int = 0
    best_epoch: int = 0
    failure: str = ""

    def to_json(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Result:
        """Reads what `to_json` returned.

        Raises:
            ValueError: A value is missing or of another type.
        """
        return _RESULT.validate_python(values)


_RESULT = TypeAdapter(Result)


def rank_key(score: float, loss: float | None, *, maximize: bool) -> tuple[float, float]:
    """Returns the sort key of a scored trial: the better trial has the smaller key.

    Args:
        score: The trial's score.
        loss: Its validation loss, which decides between equal scores. None and NaN come last.
        maximize: Whether a larger score is better.

    Example:
        >>> trials = [(0.9, 0.4), (0.5, 0.1), (0.9, 0.3)]
        >>> sorted(trials, key=lambda trial: rank_key(*trial, maximize=True))
        [(0.9, 0.3), (0.9, 0.4), (0.5, 0.1)]
    """
    if loss is None or math.isnan(loss):
        loss = math.inf
    return -score if maximize else score, loss


def best_first(
    completed: Iterable[tuple[Trial, Result]], *, maximize: bool
) -> list[tuple[Trial, Result]]:
    """Sorts trials by score, then by loss; equal ones keep their order.

    Args:
        completed: Trials with their results. Failed trials are left out.
        maximize: Whether a larger score is better.
    """
    ranked = [
        (rank_key(result.score, result.loss, maximize=maximize), (trial, result))
        for trial, result in completed
        if result.score is not None
    ]
    return [pair for _, pair in sorted(ranked, key=lambda entry: entry[0])]


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
    ranked = best_first(completed, maximize=maximize)
    if not ranked:
        return None
    best = ranked[0][1]
    if not maximize or num_folds < 2 or not best.score_std:
        return ranked[0]
    # `score_std` is that of the population of folds.
    least = (best.score or 0.0) - best.score_std / math.sqrt(num_folds - 1)
    equal = [pair for pair in ranked if (pair[1].score or 0.0) >= least]
    return min(equal, key=lambda pair: math.inf if pair[1].loss is None else pair[1].loss)
