"""Trial: what a search asks for, and what came of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Trial:
    """Settings to be tried.

    Args:
        id: Its number, with leading zeros.
        values: From the path of a searched setting to its value; those that are not
            searched in this case are absent.
        epochs: After how many it is stopped; 0 goes to the recipe's end.
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
    """What came of a trial.

    Args:
        score: What its recipe monitors, at its best; with folds the mean. None if it failed.
        score_std: Standard deviation over folds, of the folds alone; None without folds.
        loss: The validation loss at that moment: of equal scores the lower loss is better.
        epochs: How many it was trained; with folds the most of any.
        best_epoch: After how many it was at its best; with folds the mean, rounded.
        failure: Why it failed, else empty.
    """

    score: float | None = None
    score_std: float | None = None
    loss: float | None = None
    epochs: int = 0
    best_epoch: int = 0
    failure: str = ""

    def to_json(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Result:
        """Reads what `to_json` returned."""
        return cls(**values)


def best_first(
    finished: Sequence[tuple[Trial, Result]], *, maximize: bool
) -> list[tuple[Trial, Result]]:
    """Sorts trials by score, then by loss; of equals the earlier comes first.

    Args:
        finished: Trials and their results; those that failed are left out.
        maximize: Whether a larger score is better.
    """

    def rank(pair: tuple[Trial, Result]) -> tuple[float, float]:
        score, loss = pair[1].score, pair[1].loss
        return (-score if maximize else score) if score is not None else 0.0, loss or 0.0

    return sorted((pair for pair in finished if pair[1].score is not None), key=rank)
