"""Random numbers from a key: a hash of (seed, pass, index, place), in TensorFlow's operations.

TensorFlow's stateless generators take one key a call, so a batch of images with a key
each would cost a call an image. SplitMix64 (Steele, Lea and Flood, 2014,
doi:10.1145/2660193.2660195) takes a batch of them: each image has a generator of its
own, started at the hash of its key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15


def key_uniforms(seed: Any, numbers: Any, indices: Any, places: Sequence[int]) -> Any:
    """Returns uniform numbers that depend on nothing but their key and place.

    Args:
        seed: int64 [].
        numbers: int64 [B], the pass or view of each image.
        indices: int64 [B], which image.
        places: n places, each from 0 to 2^32, in the image's own sequence.

    Returns:
        float32 [B, n], multiples of 2^-24 from 0 to below 1.
    """
    import tensorflow as tf

    state = splitmix64(tf.cast(seed, tf.uint64))
    for part in (numbers, indices):
        state = splitmix64(state + tf.cast(part, tf.uint64))
    # The n-th number of SplitMix64 is that of the state n golden ratios on.
    # As an array: in a graph, TensorFlow 2.21 rounds a list of large integers to floats.
    steps = tf.constant(np.array([place * _GOLDEN % 2**64 for place in places], np.uint64))
    bits = splitmix64(state[:, tf.newaxis] + steps)
    return tf.cast(tf.bitwise.right_shift(bits, tf.constant(40, tf.uint64)), tf.float32) * 2.0**-24


def splitmix64(state: Any) -> Any:
    """Returns SplitMix64's output for a state, uint64 of any shape."""
    import tensorflow as tf

    def fold(bits: Any, shift: int) -> Any:
        return tf.bitwise.bitwise_xor(
            bits, tf.bitwise.right_shift(bits, tf.constant(shift, tf.uint64))
        )

    bits = state + tf.constant(_GOLDEN, tf.uint64)
    bits = fold(bits, 30) * tf.constant(0xBF58476D1CE4E5B9, tf.uint64)
    bits = fold(bits, 27) * tf.constant(0x94D049BB133111EB, tf.uint64)
    return fold(bits, 31)
