"""Parallel coordinates plot: each trial a line through its settings, colored by score."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.storage.search_results import Scale, SearchResults, TrialResult, jitter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_UNUSED = -0.11
"""Height at which a line passes below the axis of an inactive setting."""

_BAND = 0.55
"""Fraction of a choice's space over which its lines are spread."""


def draw_parallel(trials: SearchResults) -> Figure:
    """Draws the trials with a score as lines; the best is drawn last and thickest.

    The axes are the settings with more than one value, then the score. A line passes below
    the axis of an inactive conditional setting. Outliers stand at the end of the score axis.

    Args:
        trials: The results of a search.
    """
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    columns = [*trials.scales, Scale(trials.objective, "linear", *trials.score_range())]
    figure = Figure(figsize=(max(7.0, 1.15 * len(columns) + 0.6), 5.6), layout="constrained")
    axes: Any = figure.subplots()
    finished = trials.finished
    heights = _heights(trials, columns)
    knots = np.arange(len(columns))
    grain = np.linspace(0, len(columns) - 1, 24 * max(1, len(columns) - 1) + 1)
    lines = [np.column_stack([grain, _smooth(knots, row, grain)]) for row in heights]
    # Colors follow ranks, since the best scores lie close together.
    ranks = np.linspace(0.0, 1.0, len(lines)) if len(lines) > 1 else np.ones(len(lines))
    colors = colormaps["viridis_r"](0.05 + 0.9 * ranks)
    collection = LineCollection(
        lines,
        colors=[
            (*color[:3], 0.25 + 0.6 * rank**2) for color, rank in zip(colors, ranks, strict=True)
        ],
        linewidths=[0.8 + 0.8 * rank**2 for rank in ranks[:-1]] + [3.0],
        capstyle="round",
        label="trials",
    )
    axes.add_collection(collection)
    for place, column in enumerate(columns):
        used = place == len(columns) - 1 or all(column.path in t.values for t in finished)
        _draw_axis(axes, place, column, used)
    if finished:
        note = "best trial thick and dark, worst pale"
        axes.text(0, -0.02, note, transform=axes.transAxes, fontsize=8, color="#666666", va="top")
    axes.set_title(trials.title, loc="left", fontsize=11, pad=34, parse_math=False)
    axes.set_xlim(-0.35, len(columns) - 0.45)
    axes.set_ylim(_UNUSED - 0.05, 1.03)
    axes.set_axis_off()
    return figure


def _heights(trials: SearchResults, columns: list[Scale]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Returns the height at which each line crosses each axis, float64 [trials, axes]."""
    finished = trials.finished
    heights = np.empty((len(finished), len(columns)))
    for place, column in enumerate(columns[:-1]):
        heights[:, place] = [_height(column, trial) for trial in finished]
        # Lines through the same choice are spread, so that each can be seen.
        room = _BAND / max(1, len(column.choices)) if column.kind == "choice" else 0.0
        for crossing in np.unique(heights[:, place]) if room else ():
            through = heights[:, place] == crossing
            if crossing != _UNUSED:
                heights[through, place] += room * np.sort(jitter(int(through.sum())))
    score = columns[-1]
    shares = [score.share(trial.score) for trial in finished]
    heights[:, -1] = np.clip(shares, 0.0, 1.0)
    return heights


def _height(column: Scale, trial: TrialResult) -> float:
    if column.path not in trial.values:
        return _UNUSED
    return column.share(column.position(trial.values[column.path]))


def _smooth(knots: Any, heights: Any, grain: Any) -> Any:
    """Interpolates heights by half cosines, which meet each axis at right angles."""
    left = np.minimum(grain.astype(int), len(knots) - 2) if len(knots) > 1 else grain.astype(int)
    right = np.minimum(left + 1, len(knots) - 1)
    way = (1 - np.cos(np.pi * (grain - left))) / 2
    return heights[left] + way * (heights[right] - heights[left])


def _draw_axis(axes: Any, place: int, column: Scale, always_used: bool) -> None:
    axes.plot([place, place], [0, 1], color="#333333", linewidth=1, zorder=3)
    name = column.path.replace(".", "\n").replace("_", " ")
    axes.text(place, 1.04, name, ha="center", va="bottom", fontsize=8.5, parse_math=False)
    halo = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}
    style: dict[str, Any] = {"fontsize": 7.5, "va": "center", "parse_math": False, "bbox": halo}
    for position, label in _ticks(column):
        height = column.share(position)
        axes.plot([place - 0.02, place], [height, height], color="#333333", linewidth=1, zorder=3)
        axes.text(place + 0.04, height, label, zorder=4, **style)
    if not always_used:
        axes.text(place + 0.04, _UNUSED, "unused", zorder=4, color="#888888", **style)


def _ticks(column: Scale) -> list[tuple[float, str]]:
    from matplotlib.ticker import MaxNLocator

    if column.kind == "choice":
        return list(enumerate(column.choices))
    if column.kind == "log":
        return [(value, f"{value:.2g}") for value in log_ticks(column.low, column.high)]
    ticks = MaxNLocator(5).tick_values(column.low, column.high)
    return [(tick, f"{tick:.4g}") for tick in ticks if column.low <= tick <= column.high]


def log_ticks(low: float, high: float) -> list[float]:
    """Returns round numbers of a logarithmic axis: powers of ten, or 1, 2 and 5 of each."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 2, 5)):
        ticks = [digit * 10.0**e for e in exponents for digit in digits]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 3:
            return ticks
    return ticks or [low, high]
