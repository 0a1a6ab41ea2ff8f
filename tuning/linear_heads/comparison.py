"""Comparison of two heads by the losses of the same images."""

from __future__ import annotations

import numpy as np

from tuning.linear_heads.logistic_regression import Floats

_STANDARD_ERRORS = 2


def is_better(losses: Floats, usual: Floats) -> bool:
    """Whether the mean loss is lower by more than two standard errors of the difference.

    Args:
        losses: float32 [M], the losses of M images.
        usual: float32 [M], those of the same images by the head that is otherwise taken.

    Example:
        >>> is_better(np.array([0.1, 0.2, 0.3]), np.array([0.5, 0.5, 0.7]))
        True
        >>> is_better(np.array([0.1, 0.9]), np.array([0.9, 0.2]))
        False
    """
    gains = usual.astype(np.float64) - losses
    return bool(gains.mean() > _STANDARD_ERRORS * gains.std() / np.sqrt(len(gains)))
