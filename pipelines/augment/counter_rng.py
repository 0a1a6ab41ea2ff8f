"""Counter-based random numbers: uniforms hashed from (seed, pass, image index, offset).

TensorFlow's stateless generators take one key per call, which would cost a call per
image. SplitMix64 (Steele, Lea and Flood, 2014, doi:10.1145/2660193.2660195) hashes a
whole batch of keys at once: each image has its own generator, seeded by its key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_GOLDEN_GAMMA = 0x9E3779B97F4A7C15
"""Increment of the state, SplitMix64's golden gamma: 2^64 divided by the golden ratio."""


def generate_uniforms(seed: Any, passes: Any, indices: Any, offsets: Sequence[int]) -> Any:
    """Generates uniform random numbers, each a function of its key and offset alone.

    Args:
        seed: int64 [].
        passes: int64 [B], the pass over the data, or the view, of each image.
        indices: int64 [B], the index of each image.
        offsets: n offsets in the image's random sequence, each from 0 to 2^32.

    Returns:
        float32 [B, n], multiples of 2^-24 in [0, 1).
    """
    import tensorflow as tf

    state = splitmix64(tf.cast(seed, tf.uint64))
    for part in (passes, indices):
        state = splitmix64(state + tf.cast(part, tf.uint64))
    # The n-th output of SplitMix64 is the output for the state plus n increments.
    # As an array: in a graph, TensorFlow 2.21 rounds a list of large integers to floats.
    increments = np.array([offset * _GOLDEN_GAMMA % 2**64 for offset in offsets], np.uint64)
    bits = splitmix64(state[:, tf.newaxis] + tf.constant(increments))
    return tf.cast(tf.bitwise.right_shift(bits, tf.constant(40, tf.uint64)), tf.float32) * 2.0**-24


def splitmix64(state: Any) -> Any:
    """Computes SplitMix64's output for a state.

    Args:
        state: uint64 of any shape.

    Returns:
        uint64 of the same shape.
    """
    import tensorflow as tf

    def xor_shift(bits: Any, shift: int) -> Any:
        return tf.bitwise.bitwise_xor(
            bits, tf.bitwise.right_shift(bits, tf.constant(shift, tf.uint64))
        )

    bits = state + tf.constant(_GOLDEN_GAMMA, tf.uint64)
    bits = xor_shift(bits, 30) * tf.constant(0xBF58476D1CE4E5B9, tf.uint64)
    bits = xor_shift(bits, 27) * tf.constant(0x94D049BB133111EB, tf.uint64)
    return xor_shift(bits, 31)
