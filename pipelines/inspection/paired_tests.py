"""Paired comparison of two classifiers on the same images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_NUM_RESAMPLES = 2000


def mcnemar_p_value(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    """Computes the p-value of McNemar's exact test that two classifiers are equally accurate.

    Only images count that one classifies rightly and the other wrongly: if the two are equally
    good, each of these is as likely to favor the one as the other.

    Args:
        first: Whether the first classifies each image rightly, bool [N].
        second: The same of the second.

    Returns:
        The two-sided p-value, in 0 to 1; 1 if both have the same hits.

    Reference: McNemar, 1947, https://doi.org/10.1007/BF02295996

    Example:
        >>> a = np.array([True] * 9 + [False])
        >>> b = np.array([False] * 8 + [True] * 2)
        >>> round(mcnemar_p_value(a, b), 4)
        0.0391
    """
    from scipy.stats import binomtest

    gained = int((first & ~second).sum())
    lost = int((~first & second).sum())
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def bootstrap_mean_interval(
    differences: npt.NDArray[np.float32], seed: int = 0
) -> tuple[float, float]:
    """Computes the 95 % interval of a mean difference by the bootstrap over images.

    Percentiles of the means of 2,000 samples of images, drawn with replacement.

    Args:
        differences: One for each image, float32 [N], N ≥ 1.
        seed: Of the samples; the same for all comparisons of a data set.

    Returns:
        The lower and the upper bound.

    Reference: Efron, 1979, https://doi.org/10.1214/aos/1176344552
    """
    count = len(differences)
    values = differences.astype(np.float64)
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(count, size=count)].mean() for _ in range(_NUM_RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
