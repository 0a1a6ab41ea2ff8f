"""Comparison of two heads by the losses of the same images."""

from __future__ import annotations

import numpy as np

from tuning.linear_heads.logistic_regression import Floats

MIN_LOG_LOSS_DIFFERENCE = 0.01
"""Nats; a smaller difference in log loss counts as none, however certain it is.

It is what the true class loses when its probability falls by 1 %: where all heads are right and
sure of it, thousandths of a nat can be told apart, and mean nothing.
"""


def is_better(losses: Floats, usual: Floats) -> bool:
    """Whether the mean loss is lower by more than 0.01 nats and than the difference's error.

    What wins is taken even though its gain may be chance: if it is, little is lost. What costs
    time or parameters should gain more than the error of the measurement.

    Args:
        losses: float32 [M], the losses of M images.
        usual: float32 [M], those of the same images by the head that is otherwise taken.

    Example:
        >>> is_better(np.array([0.1, 0.2, 0.3]), np.array([0.5, 0.5, 0.7]))
        True
        >>> is_better(np.array([0.1, 0.9]), np.array([0.9, 0.2]))
        False
        >>> is_better(np.array([0.001, 0.002]), np.array([0.003, 0.004]))
        False
    """
    gains = usual.astype(np.float64) - losses
    return bool(gains.mean() > max(gains.std() / np.sqrt(len(gains)), MIN_LOG_LOSS_DIFFERENCE))
