"""Find images that decode and look unlike the rest of their data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipelines.sources.examining.colors import MAX_COUNTED_COLORS
from pipelines.sources.examining.examination import ImageScan
from pipelines.sources.examining.scan_table import ScanTable
from pipelines.sources.source import Finding


def find_outliers(scans: Sequence[ImageScan]) -> tuple[Finding, ...]:
    """Finds images that look unlike the rest of their data set.

    The data set itself defines what is usual: eight colors suggest a placeholder among
    photographs, and are normal among scanned digits. An image is an outlier if it is

    - a GIF with at most half the median number of colors, where nine in ten files
      share another format;
    - an image of at most 64 colors, where the median is 32 times as many;
    - an image of one color, where more than half have several; or
    - an image whose shorter side has at most 16 pixels, where the median has four
      times as many.

    Fewer than ten images have no outliers.

    Args:
        scans: Results for all images that decode, of all splits.

    Returns:
        At most one finding per image, in the order of `scans`.
    """
    table = ScanTable.of(scans)
    if len(table) < 10:
        return ()
    usual_format = _most_common(table)
    usual = table.equals("format", usual_format)
    uniform = usual.mean() >= 0.9
    colors, sides = table.numbers("colors"), _sides(table)
    usual_colors, usual_side = float(np.median(colors)), float(np.median(sides))
    odd_format = ~usual if uniform else np.zeros_like(usual)
    odd_gif = odd_format & table.equals("format", "GIF") & (colors <= usual_colors / 2)
    few_colors = colors <= min(MAX_COUNTED_COLORS, usual_colors / 32)
    few_colors |= (colors == 1) & (np.mean(colors == 1) < 0.5)
    small = sides <= min(16, usual_side / 4)
    findings = []
    for index in np.flatnonzero(odd_gif | few_colors | small).tolist():
        scan = table[index]
        counted = f"{scan.colors} color{'' if scan.colors == 1 else 's'}"
        if odd_gif[index]:
            reason = f"GIF among {usual_format} files, {counted}: a drawing or placeholder?"
        elif few_colors[index]:
            start = f"{scan.format} among {usual_format} files, " if odd_format[index] else ""
            reason = f"{start}{counted}: a drawing or placeholder?"
        else:
            reason = (
                f"{scan.width}x{scan.height} pixels, where the shorter side usually has "
                f"{usual_side:.0f}: a thumbnail?"
            )
        findings.append(Finding(scan.name, reason))
    return tuple(findings)


def _most_common(table: ScanTable) -> str:
    """Returns the most common format; of equally common ones, the first."""
    codes, first, counts = np.unique(table.rows["format"], return_index=True, return_counts=True)
    best = min(range(len(codes)), key=lambda i: (-counts[i], first[i]))
    return table.texts[codes[best]]


def _sides(table: ScanTable) -> npt.NDArray[np.int32]:
    return np.minimum(table.numbers("width"), table.numbers("height"))
