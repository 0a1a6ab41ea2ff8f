"""Means over seeds with their intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Returns the mean and half the width of its 95 % interval by Student's t.

    Args:
        values: One for each seed; at least 2.

    Example:
        >>> mean, half = mean_interval([1.0, 2.0, 3.0])
        >>> f"{mean:.2f} ± {half:.2f}"
        '2.00 ± 2.48'
    """
    from scipy.stats import t

    count = len(values)
    spread = statistics.stdev(values) / math.sqrt(count)
    return statistics.fmean(values), float(t.ppf(0.975, count - 1)) * spread


def mean_gain(values: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """Returns the mean paired difference and half the width of its 95 % interval.

    Args:
        values: One for each seed.
        others: With what each of them is compared: the same seeds.
    """
    return mean_interval([a - b for a, b in zip(values, others, strict=True)])
