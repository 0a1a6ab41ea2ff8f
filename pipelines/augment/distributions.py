"""Maps from uniform random numbers in [0, 1) to the distributions that operations sample."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def to_symmetric(uniform: Any, limit: float) -> Any:
    """Maps [0, 1) linearly to [−limit, limit).

    Args:
        uniform: float32 [B].
        limit: Bound of the range, 0 or more.
    """
    return (2.0 * uniform - 1.0) * limit


def to_range(uniform: Any, low: float, high: float) -> Any:
    """Maps [0, 1) linearly to [low, high).

    Args:
        uniform: float32 [B].
        low: Value for 0.
        high: Limit for 1, not below `low`.
    """
    return low + (high - low) * uniform


def to_log_uniform(uniform: Any, ratio: float) -> Any:
    """Maps [0, 1) to [1/ratio, ratio), uniform in the logarithm.

    Args:
        uniform: float32 [B].
        ratio: Upper bound of the range, 1 or more.
    """
    import tensorflow as tf

    return tf.exp(to_symmetric(uniform, math.log(ratio)))


def to_integer(uniform: Any, count: Any) -> Any:
    """Maps [0, 1) to the integers 0 to count − 1 with equal probability, as float32.

    Args:
        uniform: float32 [B].
        count: Number of integers, a scalar or float32 [B], at most 2^24.
    """
    import tensorflow as tf

    # The product may round up to `count` itself.
    return tf.minimum(tf.floor(uniform * count), count - 1.0)


def to_beta(uniform: Any, alpha: float) -> Any:
    """Maps [0, 1) to Beta(alpha, alpha) by a table of its quantiles.

    Linear interpolation between the table's 4,097 entries shifts no quantile by more
    than 1/4096 of probability.

    Args:
        uniform: float32 [B].
        alpha: Both parameters of the distribution, above 0.
    """
    import tensorflow as tf

    table = tf.constant(_build_beta_table(alpha))
    position = uniform * (table.shape[0] - 1)
    floor = tf.floor(position)
    index = tf.cast(floor, tf.int32)
    low, high = tf.gather(table, index), tf.gather(table, index + 1)
    return low + (high - low) * (position - floor)


@functools.cache
def _build_beta_table(alpha: float) -> npt.NDArray[np.float32]:
    import numpy as np
    from scipy.special import betaincinv

    return betaincinv(alpha, alpha, np.linspace(0, 1, 4097)).astype(np.float32)
