"""Geometry of the report's charts: numbers in, coordinates for plain SVG out.

The template draws; here values become pixels, and ticks are chosen. Nothing depends on a clock or
on fonts, so that the same numbers give the same file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zoo.printable import printable

LEFT, RIGHT, TOP, BOTTOM = 46, 18, 26, 34
"""Margins around the plot, in pixels."""


@dataclass(frozen=True)
class Tick:
    """A mark on an axis.

    Args:
        position: In pixels, from the left or from the top.
        label: Its text.
    """

    position: float
    label: str


@dataclass(frozen=True)
class Dot:
    """A point, with what it stands for.

    Args:
        x: In pixels, from the left.
        y: In pixels, from the top.
        title: Shown on hovering.
        size: Radius, in pixels.
        strong: Whether it is emphasized.
    """

    x: float
    y: float
    title: str = ""
    size: float = 3.0
    strong: bool = False


@dataclass(frozen=True)
class Bar:
    """An upright bar.

    Args:
        x: Left edge, in pixels.
        y: Upper edge.
        width: In pixels.
        height: In pixels.
        title: Shown on hovering.
    """

    x: float
    y: float
    width: float
    height: float
    title: str = ""


@dataclass(frozen=True)
class Line:
    """A line through points.

    Args:
        points: As SVG has them, `x,y x,y`.
        name: For the legend; empty leaves it out of it.
        style: Class of the line in the style sheet.
    """

    points: str
    name: str = ""
    style: str = "first"


@dataclass(frozen=True)
class Chart:
    """A chart in pixels.

    Args:
        title: What it shows, also for those who do not see it.
        x_title: Of the horizontal axis.
        y_title: Of the vertical axis.
        x_ticks: Marks below.
        y_ticks: Marks at the left.
        lines: Drawn in their order.
        dots: Drawn above the lines.
        bars: Drawn below the lines.
        width: Of all, in pixels.
        height: Of all, in pixels.
    """

    title: str
    x_title: str
    y_title: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    lines: Sequence[Line] = ()
    dots: Sequence[Dot] = ()
    bars: Sequence[Bar] = ()
    width: int = 440
    height: int = 280

    @property
    def right(self) -> int:
        """The right edge of the plot, in pixels."""
        return self.width - RIGHT

    @property
    def bottom(self) -> int:
        """The lower edge of the plot, in pixels."""
        return self.height - BOTTOM


@dataclass(frozen=True)
class Axis:
    """A linear or logarithmic axis from values to pixels.

    Args:
        low: The value at the left, or below.
        high: The value at the right, or above; more than `low`.
        start: The pixel of `low`.
        end: The pixel of `high`.
        log: Whether it is logarithmic; both ends are then positive.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Returns the pixel of a value, rounded to a tenth."""
        low, high = self.low, self.high
        if self.log:
            value, low, high = (math.log10(number) for number in (value, low, high))
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 1)

    def ticks(self, count: int = 5, *, percent: bool = False) -> list[Tick]:
        """Returns round values on the axis.

        Args:
            count: How many, at most.
            percent: Whether values are shares, to be shown in percent.
        """
        from matplotlib.ticker import LogLocator, MaxNLocator

        locator = LogLocator(numticks=count) if self.log else MaxNLocator(count)
        values = [v for v in locator.tick_values(self.low, self.high) if self.low <= v <= self.high]
        if self.log and len(values) < 2:
            values = [self.low, self.high]
        return [Tick(self(v), f"{100 * v:.4g} %" if percent else f"{v:.4g}") for v in values]


def join_points(xs: Sequence[float], ys: Sequence[float], x_axis: Axis, y_axis: Axis) -> str:
    """Returns points as SVG has them, `x,y x,y`.

    Args:
        xs: Values; points that are not finite are left out.
        ys: As many values.
        x_axis: Turns the former into pixels.
        y_axis: Turns the latter into pixels.
    """
    return " ".join(
        f"{x_axis(x):g},{y_axis(y):g}"
        for x, y in zip(xs, ys, strict=True)
        if math.isfinite(x) and math.isfinite(y)
    )


def horizontal(low: float, high: float, width: int = 440, *, log: bool = False) -> Axis:
    """Returns the horizontal axis of a chart.

    Args:
        low: The value at the left.
        high: The value at the right.
        width: Of the chart, in pixels.
        log: Whether it is logarithmic.
    """
    return Axis(low, high if high > low else low + 1, LEFT, width - RIGHT, log)


def vertical(
    low: float,
    high: float,
    height: int = 280,
    *,
    log: bool = False,
    top: int = TOP,
    bottom: int = BOTTOM,
) -> Axis:
    """Returns the vertical axis of a chart.

    Args:
        low: The value below.
        high: The value above.
        height: Of the chart, in pixels.
        log: Whether it is logarithmic.
        top: The margin above.
        bottom: The margin below.
    """
    return Axis(low, high if high > low else low + 1, height - bottom, top, log)


def choice_ticks(choices: Sequence[str], axis: Axis, count: int) -> list[Tick]:
    """Returns the names of choices, which lie at 0, 1, 2 and so on.

    Args:
        choices: In their order.
        axis: Turns their numbers into pixels.
        count: How many to name, at most.
    """
    ticks = [Tick(axis(i), printable(choice)[:14]) for i, choice in enumerate(choices)]
    return ticks[:: max(1, math.ceil(len(ticks) / count))]


def thin_out(count: int, limit: int = 400) -> list[int]:
    """Returns evenly spaced indices below `count`, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, limit)).round().astype(int)).tolist()
