"""The trials of a search: a table, and the score against each setting."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pipelines.inspection.report.charts import (
    LEFT,
    RIGHT,
    Axis,
    Chart,
    Dot,
    choice_ticks,
    horizontal,
    vertical,
)
from pipelines.inspection.report.parallel import draw_parallel
from pipelines.inspection.report.report_data import TrialTable
from pipelines.storage.search_results import (
    Scale,
    SearchResults,
    TrialResult,
    describe_correction,
    format_value,
    jitter,
    read_results,
)
from zoo.printable import printable

MAX_TRIALS = 300
"""Rows of the table."""

_WIDTH, _HEIGHT = 300, 220


def describe_trials(search: Mapping[str, Any]) -> TrialTable | None:
    """Returns what a report shows of a search; None for a run without one.

    Args:
        search: The content of search.json; empty without a search.
    """
    if not search.get("trials"):
        return None
    results = read_results(search)
    best_first = [*results.finished[::-1], *(t for t in results.all if not t.finished)]
    settings = [scale.path for scale in results.scales]
    best = str(search.get("best", {}).get("id", ""))
    rows = [
        [
            printable(trial.id) + (" (taken)" if trial.id == best else ""),
            f"{trial.score:.4f}" if trial.finished else trial.status.lower(),
            f"{trial.score_std:.4f}" if math.isfinite(trial.score_std) else "",
            *(
                printable(format_value(trial.values[path])) if path in trial.values else ""
                for path in settings
            ),
        ]
        for trial in best_first[:MAX_TRIALS]
    ]
    charts = [_draw_setting(results, scale, best) for scale in results.scales]
    return TrialTable(
        printable(results.title),
        printable(describe_correction(search)),
        printable(results.objective),
        [printable(path) for path in settings],
        rows,
        len(best_first) - len(rows),
        charts if results.finished else [],
        draw_parallel(results, best),
    )


def _draw_setting(results: SearchResults, scale: Scale, best: str) -> Chart:
    low, high = results.score_range()
    y = vertical(low, high, _HEIGHT)
    trials = [trial for trial in results.finished if scale.path in trial.values]
    if scale.kind == "choice":
        x: Axis = horizontal(scale.low, scale.high, _WIDTH)
        ticks = choice_ticks(scale.choices, x, 5)
        offsets = [0.5 * offset for offset in jitter(len(trials)).tolist()]
    else:
        x = horizontal(scale.low, scale.high, _WIDTH, log=scale.kind == "log")
        ticks = x.ticks(4)
        offsets = [0.0] * len(trials)
    dots = [
        Dot(
            x(scale.position(trial.values[scale.path]) + offset),
            y(min(max(trial.score, low), high)),
            _describe(trial, scale.path),
            6.0 if trial.id == best else 3.5,
            strong=trial.id == best,
        )
        for trial, offset in zip(trials, offsets, strict=True)
    ]
    return Chart(
        f"{printable(results.objective)} against {printable(scale.path)}",
        printable(scale.path),
        printable(results.objective),
        [tick for tick in ticks if LEFT <= tick.position <= _WIDTH - RIGHT],
        y.ticks(4),
        dots=sorted(dots, key=lambda dot: dot.strong),
        width=_WIDTH,
        height=_HEIGHT,
    )


def _describe(trial: TrialResult, path: str) -> str:
    return printable(f"trial {trial.id}: {format_value(trial.values[path])}, {trial.score:.4f}")
