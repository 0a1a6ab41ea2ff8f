"""Many thinned networks of one that was trained with dropout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def means_of_masks(
    model: Any, rows: npt.NDArray[np.float32], counts: Sequence[int]
) -> Iterator[npt.NDArray[np.float64]]:
    """Yields the mean probabilities of the first masks, float64 [rows, classes].

    Args:
        model: A Keras model of logits with dropout; each call draws other masks.
        rows: float32 [rows, features].
        counts: Numbers of masks, in ascending order.
    """
    import tensorflow as tf

    thinned = tf.function(lambda x: tf.nn.softmax(model(x, training=True)))
    total, drawn, x = np.zeros(()), 0, tf.constant(rows)
    for count in counts:
        for _ in range(count - drawn):
            total = total + thinned(x).numpy().astype(np.float64)
        drawn = count
        yield total / count


def scaled_answers(model: Any, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Returns the probabilities of the whole network, whose weights dropout has scaled."""
    import tensorflow as tf

    return np.asarray(tf.nn.softmax(model(rows, training=False)).numpy(), np.float64)


def total_variation(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Returns the mean distance of two distributions a row, 0 to 1: half of Σ|a − b|."""
    return float(np.abs(a - b).sum(axis=1).mean() / 2)
