"""Picture of a ranking: accuracy with its interval against speed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.inspection.ranking import RankedVariant, Ranking
from zoo.files import replacing

_COLORS = (
    "#1f5fa8", "#1a7f37", "#8250a8", "#b3261e", "#0f8b8d", "#7a5c1e", "#555555", "#c2185b",
)  # fmt: skip
_TAKE = "#e08a00"
_LINE, _CHARACTER = 12.0, 5.3
"""Height of a name and width of a character of it, in points."""

_OFFSETS = tuple(
    (side * 12, height) for height in (0, 14, -14, 28, -28, -42, -56, -70, -84) for side in (1, -1)
)
"""Places of a name beside its point, in points, the best first; negative ones are to its left."""


def draw_ranking(ranking: Ranking, path: Path) -> None:
    """Draws a point a variant, truncated ones hollow and joined to their whole backbone.

    Whole backbones and the one to take are named; a truncated one has the number of blocks it
    lacks beside it.

    Args:
        ranking: The result of `choose`.
        path: The PNG to write.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    figure = Figure(figsize=(10, 6), layout="constrained", dpi=110)
    axes: Any = figure.subplots()
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("images a second on this machine")
    axes.set_ylabel(f"accuracy in {ranking.num_folds} folds, with 95 % interval")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    by_backbone: dict[str, list[RankedVariant]] = {}
    for row in ranking.rows:
        by_backbone.setdefault(row.variant.backbone, []).append(row)
    for number, rows in enumerate(by_backbone.values()):
        _draw_backbone(axes, rows, _COLORS[number % len(_COLORS)])
    take = ranking.take
    axes.plot(
        take.variant.images_per_s, take.accuracy, "o", ms=15, mfc="none", mec=_TAKE, mew=2, zorder=4
    )
    speeds = [row.variant.images_per_s for row in ranking.rows]
    # Room for names to the right of the fastest.
    axes.set_xlim(min(speeds) / 1.25, max(speeds) * max(2.0, (max(speeds) / min(speeds)) ** 0.3))
    axes.set_title(
        f"{ranking.data}: {ranking.num_images} images, {ranking.num_classes} classes\n"
        f"take {take.variant.label} (ringed)",
        loc="left",
        fontsize=11,
        parse_math=False,
    )
    named = [row for row in ranking.rows if row is take or not row.variant.truncate_blocks]
    colors = {name: _COLORS[i % len(_COLORS)] for i, name in enumerate(by_backbone)}
    _write_names(figure, axes, ranking, named, colors)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def _draw_backbone(axes: Any, rows: list[RankedVariant], color: str) -> None:
    rows = sorted(rows, key=lambda row: row.variant.truncate_blocks)
    xs = [row.variant.images_per_s for row in rows]
    ys = [row.accuracy for row in rows]
    axes.plot(xs, ys, "-", color=color, linewidth=1, alpha=0.6)
    for x, y, row in zip(xs, ys, rows, strict=True):
        cut = row.variant.truncate_blocks
        low, high = row.accuracy_interval
        axes.plot([x, x], [low, high], "-", color=color, linewidth=1, alpha=0.35)
        axes.plot(x, y, "o", ms=6, color=color, mfc="white" if cut else color, zorder=3)
        if cut:
            axes.annotate(
                f"−{cut}", (x, y), (0, -12), textcoords="offset points",
                ha="center", fontsize=7, color=color,
            )  # fmt: skip


_OUTSIDE = 100
"""A name outside of the axes is as bad as one that covers this many points."""


@dataclass(frozen=True)
class _Box:
    """A rectangle of the figure, in points."""

    left: float
    right: float
    bottom: float
    top: float

    def lies_in(self, other: _Box) -> bool:
        return (
            other.left <= self.left
            and self.right <= other.right
            and other.bottom <= self.bottom
            and self.top <= other.top
        )

    def overlaps(self, other: _Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )


def _write_names(
    figure: Any, axes: Any, ranking: Ranking, named: list[RankedVariant], colors: dict[str, str]
) -> None:
    """Writes names beside points, where they cover the fewest points and names."""
    figure.draw_without_rendering()

    def locate(row: RankedVariant) -> tuple[float, float]:
        point = (row.variant.images_per_s, row.accuracy)
        x, y = axes.transData.transform(point) * 72 / figure.dpi
        return float(x), float(y)

    extent = axes.get_window_extent()
    frame = _Box(*(72 / figure.dpi * edge for edge in (*extent.intervalx, *extent.intervaly)))
    taken = []
    for row in ranking.rows:
        x, y = locate(row)
        # A truncated one has its number below.
        taken.append(_Box(x - 6, x + 6, y - (18 if row.variant.truncate_blocks else 6), y + 6))
    for row in named:
        x, y = locate(row)
        width = _CHARACTER * len(row.variant.label)
        options = []
        for dx, dy in _OFFSETS:
            left = x + (dx if dx >= 0 else dx - width)
            box = _Box(left, left + width, y + dy - _LINE / 2, y + dy + _LINE / 2)
            covered = sum(box.overlaps(other) for other in taken)
            options.append((covered + _OUTSIDE * (not box.lies_in(frame)), dx, dy, box))
        _, dx, dy, box = min(options, key=lambda option: option[0])
        taken.append(box)
        axes.annotate(
            row.variant.label,
            (row.variant.images_per_s, row.accuracy),
            (dx, dy),
            textcoords="offset points",
            ha="left" if dx >= 0 else "right",
            va="center",
            fontsize=9,
            color=colors[row.variant.backbone],
            parse_math=False,
            arrowprops={"arrowstyle": "-", "color": "#bbbbbb", "lw": 0.6, "shrinkB": 4},
        )
