"""Groups of photographs that one camera took shortly after each other, by their EXIF data."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pipelines.runtime.threads import map_in_order
from pipelines.sources.columns import Files
from pipelines.sources.examining.capture import JPEG_HEAD_BYTES, Capture, read_capture
from pipelines.sources.examining.formats import HEAD_BYTES, format_of
from pipelines.sources.listing.groups import join_groups, with_groups
from pipelines.sources.source import Examples, Listing

BURST_S = 5.0
"""Seconds between two photographs of one camera up to which they belong together."""


def group_by_time(listing: Listing) -> Listing:
    """Returns a listing whose photographs of one burst are grouped.

    A burst is a series of photographs by one camera, each within BURST_S seconds of the one
    before. Where images are grouped already, the groups of a burst become one.

    Args:
        listing: The images of all splits.
    """
    captures = [
        capture
        for examples in listing.splits.values()
        for capture in map_in_order(_Reader(examples), range(len(examples)), os.cpu_count() or 1)
    ]
    numbers = iter(number_bursts(captures))
    texts = {
        split: ["" if (number := next(numbers)) is None else str(number) for _ in examples.names]
        for split, examples in listing.splits.items()
    }
    return join_groups(listing, with_groups(listing, texts))


class _Reader:
    """Reads when the images of a split were taken."""

    def __init__(self, examples: Examples) -> None:
        self._examples = examples

    def __call__(self, index: int) -> Capture | None:
        name = self._examples.names[index]
        if self._examples.files is None:
            return read_capture(name, self._examples.read(index))
        try:
            with open(Files.of(self._examples.files).path(index), "rb") as file:
                head = file.read(JPEG_HEAD_BYTES)
                if format_of(head[:HEAD_BYTES], name) == "JPEG":
                    return read_capture(name, head) or read_capture(name, head + file.read())
                return read_capture(name, head + file.read())
        except (OSError, ValueError):
            return None  # The scan says why it is not read.


def number_bursts(captures: Sequence[Capture | None]) -> list[int | None]:
    """Numbers the bursts of photographs.

    Args:
        captures: When each was taken; None where nothing says so.

    Returns:
        The same number for those of one burst; None for None.

    Example:
        >>> number_bursts([Capture(("A",), 0.0), Capture(("A",), 3.5), Capture(("B",), 1.0), None])
        [0, 0, 1, None]
    """
    numbers: list[int | None] = [None] * len(captures)
    known = [(capture, index) for index, capture in enumerate(captures) if capture is not None]
    known.sort(key=lambda pair: (pair[0].camera, pair[0].time_s))
    number, before = -1, None
    for capture, index in known:
        if (
            before is None
            or before.camera != capture.camera
            or capture.time_s - before.time_s > BURST_S
        ):
            number += 1
        numbers[index], before = number, capture
    return numbers
