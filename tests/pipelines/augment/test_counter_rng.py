"""Counter-based random numbers: published outputs, distribution, dependence on the key alone."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from scipy import stats

from pipelines.augment.counter_rng import generate_uniforms, splitmix64


def _generate(count: int, offsets: range, *, seed: int = 1, number: int = 0) -> np.ndarray:
    passes = tf.fill([count], tf.constant(number, tf.int64))
    indices = tf.range(count, dtype=tf.int64)
    return np.asarray(generate_uniforms(tf.constant(seed, tf.int64), passes, indices, offsets))


def test_splitmix64_gives_published_outputs() -> None:
    # Outputs of the authors' C code for the seed 1234567.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    gamma = 0x9E3779B97F4A7C15
    states = tf.constant([(1234567 + i * gamma) % 2**64 for i in range(3)], tf.uint64)
    assert np.asarray(splitmix64(states)).tolist() == expected


def test_uniforms_are_uniform_and_independent() -> None:
    uniforms = _generate(20_000, range(20))
    assert uniforms.min() >= 0
    assert uniforms.max() < 1
    assert stats.kstest(uniforms.ravel(), "uniform").pvalue > 0.001
    # 4.5 standard deviations: one of 190 pairs exceeds them once in 800 runs.
    limit = 4.5 / np.sqrt(20_000)
    between_offsets = np.corrcoef(uniforms.T) - np.eye(20)
    assert np.abs(between_offsets).max() < limit
    assert abs(np.corrcoef(uniforms[:-1].ravel(), uniforms[1:].ravel())[0, 1]) < limit, "neighbors"
    other_pass = _generate(20_000, range(20), number=1)
    assert abs(np.corrcoef(uniforms.ravel(), other_pass.ravel())[0, 1]) < limit


def test_uniforms_differ_for_every_part_of_the_key() -> None:
    rows = [
        _generate(50, range(4), seed=seed, number=number)
        for seed in range(5)
        for number in range(5)
    ]
    values = np.concatenate(rows).ravel()
    # 5,000 of 2^24 values: 0.7 pairs coincide by chance.
    assert len(np.unique(values)) > 4990


def test_uniforms_of_an_image_do_not_depend_on_batch_graph_or_xla() -> None:
    together = _generate(9, range(16))
    for index in range(9):
        one = tf.constant([index], tf.int64)
        alone = generate_uniforms(tf.constant(1, tf.int64), tf.zeros(1, tf.int64), one, range(16))
        np.testing.assert_array_equal(alone[0], together[index])
    for compiled in (False, True):
        in_graph = tf.function(generate_uniforms, jit_compile=compiled)
        found = in_graph(
            tf.constant(1, tf.int64), tf.zeros(9, tf.int64), tf.range(9, dtype=tf.int64), range(16)
        )
        np.testing.assert_array_equal(found, together)
