"""The report's charts: reliability, coverage and learning curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from pipelines.evaluation.calibration import ReliabilityBin
from pipelines.inspection.report.charts import (
    Bar,
    Chart,
    Dot,
    Line,
    horizontal,
    join_points,
    thin_out,
    vertical,
)
from pipelines.inspection.report.thresholds import ThresholdCounts

_COUNTED = ("loss", "accuracy")
"""Endings of the columns of history.csv that are drawn."""

_MAX_CURVES = 8

_OUTLIER = 4.0
"""A first loss so many times above the median is cut off, since it hides all others."""


def draw_reliability(bins: Sequence[ReliabilityBin]) -> Chart:
    """Draws the accuracy of each bin of confidence as a bar, with the diagonal it should meet."""
    x, y = horizontal(0, 1), vertical(0, 1)
    bars = [
        Bar(
            x(b.low) + 1,
            y(b.accuracy),
            round(x(b.high) - x(b.low) - 2, 1),
            round(y(0) - y(b.accuracy), 1),
            f"confidence {b.confidence:.3f}, accuracy {b.accuracy:.3f}, {b.count} images",
        )
        for b in bins
    ]
    largest = max(b.count for b in bins)
    # The area of a dot is its bin's number of images.
    dots = [
        Dot(
            x(b.confidence),
            y(b.accuracy),
            f"mean confidence {b.confidence:.3f}, accuracy {b.accuracy:.3f}, {b.count} images",
            round(2.5 + 5 * math.sqrt(b.count / largest), 1),
        )
        for b in bins
    ]
    diagonal = Line(join_points([0, 1], [0, 1], x, y), "perfectly calibrated", "guide")
    return Chart(
        "Reliability diagram: accuracy against confidence",
        "confidence",
        "accuracy",
        x.ticks(5, percent=True),
        y.ticks(5, percent=True),
        [diagonal],
        dots,
        bars,
    )


def draw_coverage(counts: ThresholdCounts) -> Chart:
    """Draws the accuracy of what is kept against the share that is kept, one dot a threshold."""
    some = counts.kept > 0
    accuracy = counts.right[some] / counts.kept[some]
    coverage = counts.kept[some] / counts.num_images
    x = horizontal(0, 1)
    y = vertical(math.floor(20 * float(accuracy.min()) - 0.5) / 20, 1)
    line = Line(join_points(coverage.tolist(), accuracy.tolist(), x, y), "", "first")
    return Chart(
        "Accuracy of the answers that are kept, against their share",
        "coverage: share of images that are answered",
        "accuracy of these",
        x.ticks(5, percent=True),
        y.ticks(5, percent=True),
        [line],
        [Dot(x(float(coverage[0])), y(float(accuracy[0])), "the threshold", 6.0, strong=True)],
    )


def draw_learning_curves(history: Sequence[Mapping[str, str]]) -> list[Chart]:
    """Draws losses and accuracies of training and validation images by epoch.

    Args:
        history: The rows of history.csv.
    """
    if not history:
        return []
    bases = [name for name in history[0] if name.endswith(_COUNTED) and not _is_val(name)]
    bases.sort(key=lambda name: (len(name.split("_")), not name.endswith("loss")))
    charts = [_draw_curve(history, base) for base in bases[:_MAX_CURVES]]
    return [chart for chart in charts if chart is not None]


def _is_val(name: str) -> bool:
    return name.startswith("val_")


def _draw_curve(history: Sequence[Mapping[str, str]], base: str) -> Chart | None:
    series = {}
    for name, column in (("training", base), ("validation", f"val_{base}")):
        values = np.array([_number(row.get(column)) for row in history])
        if np.isfinite(values).any():
            series[name] = values
    if not series:
        return None
    epochs = np.arange(1, len(history) + 1, dtype=float)
    shown = thin_out(len(history))
    finite = np.concatenate([values[np.isfinite(values)] for values in series.values()])
    low, high = float(finite.min()), float(finite.max())
    if base.endswith("accuracy"):
        low, high = max(0.0, math.floor(10 * low) / 10), 1.0
    else:
        low, high = 0.0, min(high, _OUTLIER * max(float(np.median(finite)), 1e-9) + high / 20)
    x, y = horizontal(1, float(max(len(history), 2))), vertical(low, high)
    lines = [
        Line(
            join_points(epochs[shown].tolist(), values[shown].clip(low, high).tolist(), x, y),
            name,
            style,
        )
        for (name, values), style in zip(series.items(), ("first", "second"), strict=False)
    ]
    single = len(history) == 1
    dots = [
        Dot(x(1), y(float(values[0])), f"{name} {values[0]:.4f}")
        for name, values in series.items()
        if single and math.isfinite(values[0])
    ]
    words = base.replace("_", " ").capitalize()
    return Chart(
        words,
        "epoch",
        words.lower(),
        [tick for tick in x.ticks(6) if "." not in tick.label],
        y.ticks(5, percent=base.endswith("accuracy")),
        lines,
        dots,
    )


def _number(text: str | None) -> float:
    return float(text) if text else math.nan
