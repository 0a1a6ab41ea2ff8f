"""Score of every trial against each setting, one panel a setting."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.storage.search_results import Scale, SearchResults, TrialResult, jitter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 4
_POINT, _BEST, _FAILED = "#1f5fa8", "#e08a00", "#b3261e"


def draw_settings(trials: SearchResults) -> Figure:
    """Draws a panel for each setting: points for numbers, box plots with points for choices.

    Failed trials are crosses at the lower edge; a trial without a setting is absent from its
    panel; an outlier is a triangle at the edge it lies beyond.

    Args:
        trials: The results of a search.
    """
    from matplotlib.figure import Figure

    scales = trials.scales
    columns = min(_COLUMNS, max(1, len(scales)))
    rows = max(1, math.ceil(len(scales) / columns))
    figure = Figure(figsize=(3.1 * columns + 0.4, 2.7 * rows + 0.9), layout="constrained")
    panels: Any = figure.subplots(rows, columns, sharey=True, squeeze=False)
    low, high = trials.score_range()
    room = 0.12 * (high - low) if trials.failed else 0.0
    for axes in panels.flat[len(scales) :]:
        axes.set_axis_off()
    for scale, axes in zip(scales, panels.flat, strict=False):
        axes.set_ylim(low - room, high)
        axes.set_title(scale.path, fontsize=10, loc="left", parse_math=False)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
        axes.set_axisbelow(True)
        _mark_axis(axes, scale)
        _draw_boxes(axes, scale, trials.finished)
        _draw_points(axes, scale, trials.finished, (low, high))
        _draw_failed(axes, scale, trials.failed, low - room / 2)
    for row in panels:
        row[0].set_ylabel(trials.objective)
    figure.suptitle(trials.title, fontsize=12, x=0.01, ha="left", parse_math=False)
    if scales:
        entries: dict[str, Any] = {}
        for axes in panels.flat:
            handles, labels = axes.get_legend_handles_labels()
            entries |= dict(zip(labels, handles, strict=True))
        figure.legend(
            list(entries.values()),
            list(entries),
            loc="outside lower left",
            ncols=len(entries),
            frameon=False,
            fontsize=9,
        )
    return figure


def _mark_axis(axes: Any, scale: Scale) -> None:
    if scale.kind == "choice":
        axes.set_xlim(scale.low, scale.high)
        crowded = sum(map(len, scale.choices)) > 26
        axes.set_xticks(
            range(len(scale.choices)),
            scale.choices,
            fontsize=8,
            rotation=35 if crowded else 0,
            ha="right" if crowded else "center",
            rotation_mode="anchor",
            parse_math=False,
        )
        axes.tick_params(axis="x", length=0)
        return
    axes.set_xscale(scale.kind)
    margin = 0.04
    low, high = scale.low, scale.high
    if scale.kind == "log":
        factor = (high / low) ** margin
        axes.set_xlim(low / factor, high * factor)
    else:
        axes.set_xlim(low - margin * (high - low), high + margin * (high - low))


def _draw_boxes(axes: Any, scale: Scale, finished: list[TrialResult]) -> None:
    by_choice: list[list[float]] = [[] for _ in scale.choices]
    for trial in finished if scale.choices else ():
        if scale.path in trial.values:
            by_choice[int(scale.position(trial.values[scale.path]))].append(trial.score)
    boxes = [(place, scores) for place, scores in enumerate(by_choice) if len(scores) >= 5]
    if boxes:
        gray = {"color": "#9a9a9a", "linewidth": 1}
        axes.boxplot(
            [scores for _, scores in boxes],
            positions=[place for place, _ in boxes],
            widths=0.7,
            showfliers=False,
            manage_ticks=False,
            boxprops=gray,
            whiskerprops=gray,
            capprops=gray,
            medianprops={"color": "#444444", "linewidth": 1.6},
        )


def _draw_points(
    axes: Any, scale: Scale, finished: list[TrialResult], shown: tuple[float, float]
) -> None:
    here = [trial for trial in finished if scale.path in trial.values]
    if not here:
        return
    x, scores = _across(scale, here), np.array([trial.score for trial in here])
    low, high = shown
    inside = (scores >= low) & (scores <= high)
    deviations = np.array([trial.score_std for trial in here])
    if np.isfinite(deviations).any():
        axes.errorbar(
            x[inside],
            scores[inside],
            deviations[inside],
            fmt="none",
            ecolor=_POINT,
            alpha=0.25,
            linewidth=0.8,
            label="± deviation over folds",
        )
    dots: dict[str, Any] = {"s": 16, "color": _POINT, "alpha": 0.55, "linewidths": 0}
    axes.scatter(x[inside], scores[inside], label="trial", **dots)
    for beyond, edge, marker in ((scores < low, low, "v"), (scores > high, high, "^")):
        if beyond.any():
            where = np.full(int(beyond.sum()), edge)
            axes.scatter(x[beyond], where, marker=marker, label="beyond the axis", **dots)
    if here[-1] is finished[-1]:
        axes.scatter(
            x[-1], scores[-1], s=110, marker="*", color=_BEST, edgecolors="white",
            linewidths=0.6, zorder=5, label="best",
        )  # fmt: skip


def _draw_failed(axes: Any, scale: Scale, failed: list[TrialResult], height: float) -> None:
    here = [trial for trial in failed if scale.path in trial.values]
    if here:
        x = _across(scale, here)
        axes.scatter(
            x, np.full(len(here), height), s=22, marker="x", color=_FAILED, linewidths=1.2,
            label="failed",
        )  # fmt: skip


def _across(scale: Scale, trials: list[TrialResult]) -> Any:
    """Returns the horizontal coordinates of trials, float64 [n]; those of a choice spread."""
    x = np.array([scale.position(trial.values[scale.path]) for trial in trials], float)
    for place in range(len(scale.choices)):
        chosen = x == place
        x[chosen] += 0.5 * jitter(int(chosen.sum()))
    return x
