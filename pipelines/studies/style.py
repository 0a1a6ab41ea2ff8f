"""Style of the figures: readable on a slide, in greyscale, and for the color-blind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Okabe and Ito, 2008, https://jfly.uni-koeln.de/color/; dark and light alternate.
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#000000", "#56b4e9", "#d55e00", "#999999")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)), (0, (8, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def line_style(index: int) -> dict[str, Any]:
    """Returns color, dashes and marker of the n-th line; no two differ by color alone."""
    return {
        "color": COLORS[index % len(COLORS)],
        "linestyle": DASHES[index % len(DASHES)],
        "marker": MARKERS[index % len(MARKERS)],
        "markersize": 5,
        "linewidth": 1.8,
    }


def plain_axes(axes: Any, x: str, y: str, title: str = "") -> None:
    """Labels axes, and leaves out what carries no information.

    Args:
        axes: A `matplotlib.axes.Axes`.
        x: The label of the horizontal axis, with its unit.
        y: That of the vertical axis.
        title: What this part of the figure shows.
    """
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title, fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e8e8e8", linewidth=0.8)
    axes.set_axisbelow(True)
    if x.startswith("epoch") and axes.get_xscale() == "linear":
        axes.xaxis.get_major_locator().set_params(integer=True)


def log_ticks(axes: Any, values: Sequence[float]) -> None:
    """Makes the horizontal axis logarithmic, with these values alone as its ticks."""
    axes.set_xscale("log")
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.minorticks_off()


def legend_above(axes: Any, columns: int = 2) -> None:
    """Puts the legend between the title of the figure and the axes, where nothing is drawn."""
    axes.legend(
        frameon=False, fontsize=9, ncols=columns, loc="lower left", bbox_to_anchor=(0.0, 1.0)
    )


def draw_lines(
    axes: Any, x: Sequence[float], lines: Mapping[str, Sequence[float]], *, legend: bool = True
) -> None:
    """Draws a line for each name, all over the same horizontal values.

    Args:
        axes: A `matplotlib.axes.Axes`.
        x: The horizontal values.
        lines: The vertical values of each line by its name.
        legend: Whether the names are shown.
    """
    for index, (name, y) in enumerate(lines.items()):
        axes.plot(x, y, label=name, **line_style(index))
    if legend:
        axes.legend(frameon=False, fontsize=9)
