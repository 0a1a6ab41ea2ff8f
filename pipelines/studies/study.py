"""A study: a claim, its measurements, the rule of its verdict, and its figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pipelines.studies.steps import Steps

Numbers = Mapping[str, Any]
"""What a study measured, as JSON values."""


class Verdict(Enum):
    """What the numbers say of a claim."""

    HOLDS = "holds"
    IN_PART = "holds in part"
    DOES_NOT_HOLD = "does not hold here"


@dataclass(frozen=True)
class Effort:
    """How much a study measures.

    Args:
        seeds: Repetitions, at least 2, each with random numbers of its own.
        full: Whether the long version runs, with larger networks and more images.
    """

    seeds: int = 5
    full: bool = False


@dataclass(frozen=True)
class Check:
    """One part of a claim, and whether the numbers bear it out.

    Args:
        rule: What had to be seen, in words and with its threshold.
        seen: What was seen, in words and with the numbers.
        holds: Whether it was.
    """

    rule: str
    seen: str
    holds: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "holds", bool(self.holds))  # NumPy's bool is no JSON


@dataclass(frozen=True)
class Study:
    """One study.

    Args:
        name: The key in STUDIES.
        summary: The claim, in one sentence.
        source: Who made it: authors, year and address.
        measure: Maps the finished steps and the effort to the numbers.
        judge: Maps the numbers to the parts of the claim. The rule was written before the
            study ran.
        draw: Draws the numbers into a `matplotlib.figure.Figure`.
        figure_size: Width and height of the figure in inches.
    """

    name: str
    summary: str
    source: str
    measure: Callable[[Steps, Effort], Numbers]
    judge: Callable[[Numbers], Sequence[Check]]
    draw: Callable[[Any, Numbers], None]
    figure_size: tuple[float, float] = (9.0, 4.5)


def verdict_of(checks: Sequence[Check]) -> Verdict:
    """Returns the verdict: all parts of the claim hold, none does, or some do.

    Example:
        >>> verdict_of([Check("a > 1", "a = 2", True), Check("b > 1", "b = 0", False)]).value
        'holds in part'
    """
    held = sum(check.holds for check in checks)
    if held == len(checks):
        return Verdict.HOLDS
    return Verdict.IN_PART if held else Verdict.DOES_NOT_HOLD
