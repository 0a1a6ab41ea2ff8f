"""Results of a search: the trials of search.json, and the scale of each setting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tuning.hyperparameters.trial import rank_key

_FEW = 6
"""Up to this many distinct numbers, each occurring twice or more, count as choices."""


@dataclass(frozen=True)
class Scale:
    """The axis of a setting.

    Args:
        path: The setting's path in the recipe.
        kind: Numbers on a linear or logarithmic axis, or choices side by side.
        low: The smallest value; -0.5 for choices.
        high: The largest value; the number of choices less 0.5.
        choices: The choices as text, in order.
    """

    path: str
    kind: Literal["linear", "log", "choice"]
    low: float
    high: float
    choices: tuple[str, ...] = ()

    def position(self, value: Any) -> float:
        """Returns a value's coordinate on the axis: itself, or a choice's index."""
        return self.choices.index(format_value(value)) if self.kind == "choice" else float(value)

    def share(self, position: float) -> float:
        """Returns a coordinate as a fraction of the axis, 0 to 1."""
        low, high = self.low, self.high
        if self.kind == "log":
            position, low, high = (math.log10(number) for number in (position, low, high))
        return (position - low) / (high - low)


@dataclass(frozen=True)
class TrialResult:
    """One trial of search.json.

    Args:
        id: The trial's name.
        status: "COMPLETED", "FAILED", or another of KerasTuner's.
        score: NaN if it has none.
        score_std: Standard deviation over folds; NaN without folds.
        loss: The validation loss, which ranks equal scores; NaN if there is none.
        values: From path to value; inactive conditional settings are absent.
    """

    id: str
    status: str
    score: float
    score_std: float
    loss: float
    values: Mapping[str, Any]

    @property
    def finished(self) -> bool:
        """Whether it has a score."""
        return math.isfinite(self.score)


@dataclass(frozen=True)
class SearchResults:
    """The trials of a search.

    Args:
        all: In the order of their ids.
        scales: Of each setting with more than one value, in the recipe's order.
        objective: What the score is.
        maximize: Whether a larger score is better.
    """

    all: Sequence[TrialResult]
    scales: Sequence[Scale]
    objective: str
    maximize: bool

    @property
    def finished(self) -> list[TrialResult]:
        """Trials with a score, worst first, so that better ones are drawn on top."""
        best_first = sorted(
            (trial for trial in self.all if trial.finished),
            key=lambda trial: rank_key(trial.score, trial.loss, maximize=self.maximize),
        )
        return best_first[::-1]

    @property
    def failed(self) -> list[TrialResult]:
        """Trials that ended without a score."""
        return [trial for trial in self.all if trial.status in ("FAILED", "INVALID")]

    @property
    def title(self) -> str:
        """The number of trials and the best score, for a picture's title."""
        counts = f"{len(self.all)} trials"
        if failed := len(self.failed):
            counts += f", {failed} failed"
        if not self.finished:
            return counts
        best = self.finished[-1]
        spread = f" ± {best.score_std:.4f}" if math.isfinite(best.score_std) else ""
        return f"{counts}; best {self.objective} {best.score:.4f}{spread}, trial {best.id}"

    def score_range(self) -> tuple[float, float]:
        """Returns the range of scores on an axis, outliers excluded.

        An outlier is more than three interquartile ranges outside the quartiles (Tukey,
        1977); the best trial never counts as one. A diverged head would otherwise squeeze
        all other trials into one line.
        """
        scores = np.array([trial.score for trial in self.finished])
        if not len(scores):
            return 0.0, 1.0
        low, high = np.quantile(scores, [0.25, 0.75])
        reach = 3 * (high - low)
        near = scores[(scores >= low - reach) & (scores <= high + reach)]
        low, high = min(near.min(), scores[-1]), max(near.max(), scores[-1])
        margin = 0.05 * (high - low) or 0.01 * abs(high) or 1.0
        return float(low - margin), float(high + margin)


def read_results(search: Mapping[str, Any]) -> SearchResults:
    """Reads the content of search.json; see `pipelines.search.reports.reporting.draw_search`."""
    trials = [
        TrialResult(
            id=str(trial["id"]),
            status=trial["status"],
            score=_number(trial.get("score")),
            score_std=_number(trial.get("score_std")),
            loss=_number(trial.get("loss")),
            values={k: v for k, v in trial["hyperparameters"].items() if v is not None},
        )
        for trial in search["trials"]
    ]
    space: Mapping[str, Any] = search.get("space", {})
    paths = dict.fromkeys([*space, *(path for trial in trials for path in trial.values)])
    sections = list(dict.fromkeys(path.partition(".")[0] for path in paths))
    scales = []
    # Settings of one section stand side by side, conditional ones included.
    for path in sorted(paths, key=lambda path: sections.index(path.partition(".")[0])):
        values = [trial.values[path] for trial in trials if path in trial.values]
        if len({format_value(value) for value in values}) > 1:
            scales.append(_scale(path, values, space.get(path, {}).get("log")))
    objective: Mapping[str, str] = search.get("objective", {})
    return SearchResults(
        trials, scales, objective.get("name", "score"), objective.get("direction") != "min"
    )


def describe_correction(search: Mapping[str, Any]) -> str:
    """Returns what the best trial is expected to score on other images; empty if it is not known.

    Args:
        search: The content of search.json.

    Example:
        >>> corrected = {"score": 0.913, "interval": [0.87, 0.95], "trials": 100}
        >>> describe_correction({"corrected": corrected, "objective": {"name": "val_accuracy"}})
        'corrected for the choice among 100: val_accuracy 0.9130 (95 % interval 0.8700 to 0.9500)'
    """
    corrected: Mapping[str, Any] | None = search.get("corrected")
    if not corrected:
        return ""
    low, high = corrected["interval"]
    name = search.get("objective", {}).get("name", "score")
    return (
        f"corrected for the choice among {corrected['trials']}: {name} {corrected['score']:.4f} "
        f"(95 % interval {low:.4f} to {high:.4f})"
    )


def format_value(value: Any) -> str:
    """Returns a value as text for pictures: `relu`, `0.001`, `256, 128`, `none`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {format_value(one)}" for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(format_value, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def jitter(count: int) -> npt.NDArray[np.float64]:
    """Returns horizontal offsets of points that share a choice, float64 [count] in ±0.5.

    Multiples of the golden ratio are spread evenly for any count, without random numbers.
    """
    return np.modf(np.arange(1, count + 1) * (math.sqrt(5) - 1) / 2)[0] - 0.5


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _scale(path: str, values: Sequence[Any], log: bool | None) -> Scale:
    """Returns a setting's scale; with `log` None, the distribution of values decides."""
    numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    few = len({format_value(value) for value in values}) <= min(_FEW, len(values) // 2)
    if not numbers or (few and not log):
        choices = tuple(dict.fromkeys(format_value(value) for value in sorted(values, key=_order)))
        return Scale(path, "choice", -0.5, len(choices) - 0.5, choices)
    low, median, high = np.quantile(np.array(values, float), [0, 0.5, 1])
    if log is None:
        # Uniformly drawn numbers have their median in the middle of a linear axis.
        log = median < low + 0.2 * (high - low)
    return Scale(path, "log" if log and low > 0 else "linear", float(low), float(high))


def _order(value: Any) -> tuple[Any, ...]:
    """Sort key of a choice: numbers and lists of them by size, text by alphabet, none first."""
    parts = value if isinstance(value, (list, tuple)) else [value]
    return tuple(
        (0, part, "") if isinstance(part, (int, float)) else (1, part != "none", format_value(part))
        for part in parts
    )
