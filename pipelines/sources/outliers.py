"""Images that decode, and yet are unlike the rest: worth a look by their owner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from pipelines.sources.scan import FLAT, Fact
from pipelines.sources.source import Remark


def find_suspects(facts: Sequence[Fact]) -> tuple[Remark, ...]:
    """Names the images that look like no member of their set.

    What is usual is learned from the set itself: eight colors are a sign of a
    placeholder among photographs, and none among scanned digits. Three signs count,
    each with a threshold far from what honest images reach: a GIF where nine in ten
    files are of another format; a drawing's number of colors where the median is
    thirty-two times as large; a picture of 16 pixels or fewer where the median has four
    times as many. With fewer than ten images nothing is usual.

    Args:
        facts: Of every image that decodes, in all splits.

    Returns:
        One remark an image at most, in the order given.
    """
    if len(facts) < 10:
        return ()
    usual_format, count = Counter(fact.format for fact in facts).most_common(1)[0]
    uniform = count >= 0.9 * len(facts)
    usual_colors = median(fact.colors for fact in facts)
    few = min(FLAT, usual_colors / 32)
    usual_side = median(min(fact.width, fact.height) for fact in facts)
    remarks = []
    for fact in facts:
        odd_format = uniform and fact.format != usual_format
        colors = f"{fact.colors} color{'' if fact.colors == 1 else 's'}"
        if odd_format and fact.format == "GIF" and fact.colors <= usual_colors / 2:
            reason = f"GIF among {usual_format} files, {colors}: a drawing or placeholder?"
        elif fact.colors <= few:
            start = f"{fact.format} among {usual_format} files, " if odd_format else ""
            reason = f"{start}{colors}: a drawing or placeholder?"
        elif min(fact.width, fact.height) <= min(16, usual_side / 4):
            reason = (
                f"{fact.width}x{fact.height} pixels, where the shorter side usually has "
                f"{usual_side:.0f}: a thumbnail?"
            )
        else:
            continue
        remarks.append(Remark(fact.name, reason))
    return tuple(remarks)
