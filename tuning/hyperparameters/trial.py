"""Trials of a hyperparameter search, their results, and their ranking."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, TypeAdapter

from tuning.hyperparameters.image_scores import ImageScores

_Number = Annotated[float, Field(allow_inf_nan=False)]


def _read_image_scores(given: Any) -> Any:
    return ImageScores.from_json(given) if isinstance(given, dict) else given


@dataclass(frozen=True)
class Trial:
    """One setting of the hyperparameters, to be trained and scored.

    Args:
        id: Its number, with leading zeros.
        values: From the path of a searched setting to its value. A setting whose condition
            does not hold is absent.
        epochs: Epochs after which it is stopped; 0 for all epochs of the recipe.
        promoted_from: The id of a trial of the same values that was stopped before it; empty if
            there was none.
        trained_epochs: The epochs of that trial.
    """

    id: str
    values: Mapping[str, Any]
    epochs: int = 0
    promoted_from: str = ""
    trained_epochs: int = 0

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
        image_scores: What each validation image scored; None where that is not known.
    """

    score: _Number | None = None
    score_std: Annotated[_Number, Field(ge=0)] | None = None
    loss: _Number | None = None
    epochs: int = 0
    best_epoch: int = 0
    failure: str = ""
    image_scores: Annotated[ImageScores | None, BeforeValidator(_read_image_scores)] = field(
        default=None, repr=False
    )

    def to_json(self) -> dict[str, Any]:
        """Returns it as JSON values; what images scored is left out where it is not known."""
        values = dataclasses.asdict(replace(self, image_scores=None))
        del values["image_scores"]
        if self.image_scores is not None:
            values["image_scores"] = self.image_scores.to_json()
        return values

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
