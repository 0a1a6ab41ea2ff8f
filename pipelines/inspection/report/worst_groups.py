"""Groups of images that a model does worst on, such as a patient, a place or a burst."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.evaluation.classification import wilson_interval
from pipelines.inspection.report.report_data import GroupRow
from pipelines.sources.source import Examples
from zoo.printable import printable

MAX_GROUPS = 20
"""Groups in the table."""

_MIN_IMAGES = 2
"""Images of a group, at least: one alone is an image, which the largest losses show."""


def rank_groups(examples: Examples, right: npt.NDArray[np.bool_]) -> tuple[list[GroupRow], int]:
    """Ranks groups of images, those first that are most surely bad.

    The upper bound of the interval decides, so that one error of two images does not count for
    more than twenty of fifty.

    Args:
        examples: N images.
        right: Whether each is answered correctly, bool [N].

    Returns:
        The first groups of several images, and how many there are; none where images have no
        groups.
    """
    if examples.groups is None:
        return [], 0
    grouped = examples.groups >= 0
    numbers, counts = np.unique(examples.groups[grouped], return_counts=True)
    rows = []
    for number in numbers[counts >= _MIN_IMAGES].tolist():
        hits = right[examples.groups == number]
        count, num_right = len(hits), int(hits.sum())
        low, high = wilson_interval(num_right, count)
        name = printable(examples.group_names[number])
        rows.append(GroupRow(name, count, num_right / count, (low, high)))
    rows.sort(key=lambda row: (row.interval[1], row.accuracy, -row.count, row.name))
    return rows[:MAX_GROUPS], len(rows)
