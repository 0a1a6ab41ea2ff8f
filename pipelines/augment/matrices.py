"""Batches of matrices assembled from numbers and per-image tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def stack_matrix(*rows: Sequence[Any]) -> Any:
    """Stacks the rows of a square matrix, one matrix per image.

    Args:
        *rows: n rows of n entries, each a float or a float32 [B] tensor.

    Returns:
        float32 [B, n, n], or [1, n, n] where every entry is a float.
    """
    import tensorflow as tf

    entries = [entry for row in rows for entry in row]
    tensors = [entry for entry in entries if tf.is_tensor(entry)]
    shape = tf.shape(tensors[0]) if tensors else [1]
    stacked = [tf.broadcast_to(tf.cast(entry, tf.float32), shape) for entry in entries]
    return tf.reshape(tf.stack(stacked, axis=1), (-1, len(rows), len(rows)))


def stack_affine(*rows: Sequence[Any]) -> Any:
    """Stacks the rows of an affine map in homogeneous coordinates, one map per image.

    Args:
        *rows: n rows of n coefficients and an offset, each a float or a float32 [B] tensor.

    Returns:
        float32 [B, n + 1, n + 1] whose last row is (0, …, 0, 1), or [1, n + 1, n + 1]
        where every entry is a float.
    """
    return stack_matrix(*rows, (*(0.0,) * len(rows), 1.0))
