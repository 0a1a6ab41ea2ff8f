"""Parallel coordinates: every trial of a search as a line through its score and its settings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from pipelines.inspection.report.charts import Axis, Tick, choice_ticks, vertical
from pipelines.storage.search_results import (
    Scale,
    SearchResults,
    TrialResult,
    format_value,
    jitter,
)
from zoo.printable import printable

MAX_LINES = 300
"""Trials that are drawn, the best ones."""

_BEST_SHARE = 0.1
"""Share of the trials that is emphasized."""

_STEP, _MARGIN, _TOP, _BOTTOM, _HEIGHT = 128, 70, 40, 16, 330
_MAX_CHOICES = 12
"""Choices whose names an axis shows, at most."""


@dataclass(frozen=True)
class ParallelAxis:
    """An upright axis.

    Args:
        title: The setting, or what the score is.
        x: In pixels, from the left.
        ticks: Marks on it, from the top.
    """

    title: str
    x: float
    ticks: list[Tick]


@dataclass(frozen=True)
class ParallelLine:
    """A trial.

    Args:
        path: As SVG has it; it has gaps where a setting has no value.
        title: Shown on hovering.
        style: `taken`, `best` or `rest`.
    """

    path: str
    title: str
    style: str


@dataclass(frozen=True)
class ParallelChart:
    """All of it, in pixels.

    Args:
        title: What it shows, also for those who do not see it.
        axes: From the left; the first is the score's.
        lines: The best and the taken ones last, above the others.
        width: Of all.
        height: Of all.
        top: The upper end of the axes.
        bottom: The lower end of the axes.
    """

    title: str
    axes: list[ParallelAxis]
    lines: list[ParallelLine]
    width: int
    height: int = _HEIGHT
    top: int = _TOP
    bottom: int = _HEIGHT - _BOTTOM


def draw_parallel(results: SearchResults, taken: str) -> ParallelChart | None:
    """Draws the finished trials of a search.

    Args:
        results: The trials.
        taken: The id of the one that was taken.

    Returns:
        The chart; None where fewer than two settings vary, or two trials finished.
    """
    best_first = results.finished[::-1][:MAX_LINES]
    if len(results.scales) < 2 or len(best_first) < 2:
        return None
    places = {scale.path: _MARGIN + _STEP * n for n, scale in enumerate(results.scales, start=1)}
    axes = {
        scale.path: _axis(scale.low, scale.high, log=scale.kind == "log")
        for scale in results.scales
    }
    score_axis = _axis(*results.score_range())
    offsets = jitter(len(best_first)).tolist()
    num_best = max(1, round(_BEST_SHARE * len(best_first)))

    def draw(rank: int, trial: TrialResult) -> ParallelLine:
        y = score_axis(min(max(trial.score, score_axis.low), score_axis.high))
        parts, drawing = [f"M{_MARGIN},{y:g}"], True
        for scale in results.scales:
            if scale.path not in trial.values:
                drawing = False
                continue
            offset = 0.5 * offsets[rank] if scale.kind == "choice" else 0.0
            y = axes[scale.path](scale.position(trial.values[scale.path]) + offset)
            parts.append(f"{'L' if drawing else 'M'}{places[scale.path]:g},{y:g}")
            drawing = True
        values = ", ".join(f"{path} {format_value(value)}" for path, value in trial.values.items())
        title = printable(f"trial {trial.id}: {trial.score:.4f}; {values}")
        style = "taken" if trial.id == taken else "best" if rank < num_best else "rest"
        return ParallelLine(" ".join(parts), title, style)

    lines = [draw(rank, trial) for rank, trial in enumerate(best_first)][::-1]
    return ParallelChart(
        f"{printable(results.objective)} and settings of {len(lines)} trials",
        [
            ParallelAxis(printable(results.objective), _MARGIN, score_axis.ticks(6)),
            *(
                ParallelAxis(
                    printable(scale.path),
                    places[scale.path],
                    _ticks_of(scale, axes[scale.path]),
                )
                for scale in results.scales
            ),
        ],
        sorted(lines, key=lambda line: line.style == "taken"),
        2 * _MARGIN + _STEP * len(places),
    )


_axis = partial(vertical, height=_HEIGHT, top=_TOP, bottom=_BOTTOM)


def _ticks_of(scale: Scale, axis: Axis) -> list[Tick]:
    if scale.kind == "choice":
        return choice_ticks(scale.choices, axis, _MAX_CHOICES)
    return axis.ticks(6)
