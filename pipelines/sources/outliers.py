"""Find images that decode and look unlike the rest of their data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from pipelines.sources.examination import MAX_COUNTED_COLORS, ImageScan
from pipelines.sources.source import Finding


def find_outliers(scans: Sequence[ImageScan]) -> tuple[Finding, ...]:
    """Finds images that look unlike the rest of their data set.

    The data set itself defines what is usual: eight colors suggest a placeholder among
    photographs, and are normal among scanned digits. An image is an outlier if it is

    - a GIF with at most half the median number of colors, where nine in ten files
      share another format;
    - an image of at most 64 colors, where the median is 32 times as many; or
    - an image whose shorter side has at most 16 pixels, where the median has four
      times as many.

    Fewer than ten images have no outliers.

    Args:
        scans: Results for all images that decode, of all splits.

    Returns:
        At most one finding per image, in the order of `scans`.
    """
    if len(scans) < 10:
        return ()
    usual_format, count = Counter(scan.format for scan in scans).most_common(1)[0]
    uniform = count >= 0.9 * len(scans)
    usual_colors = median(scan.colors for scan in scans)
    few_colors = min(MAX_COUNTED_COLORS, usual_colors / 32)
    usual_side = median(min(scan.width, scan.height) for scan in scans)
    findings = []
    for scan in scans:
        odd_format = uniform and scan.format != usual_format
        colors = f"{scan.colors} color{'' if scan.colors == 1 else 's'}"
        if odd_format and scan.format == "GIF" and scan.colors <= usual_colors / 2:
            reason = f"GIF among {usual_format} files, {colors}: a drawing or placeholder?"
        elif scan.colors <= few_colors:
            start = f"{scan.format} among {usual_format} files, " if odd_format else ""
            reason = f"{start}{colors}: a drawing or placeholder?"
        elif min(scan.width, scan.height) <= min(16, usual_side / 4):
            reason = (
                f"{scan.width}x{scan.height} pixels, where the shorter side usually has "
                f"{usual_side:.0f}: a thumbnail?"
            )
        else:
            continue
        findings.append(Finding(scan.name, reason))
    return tuple(findings)
