"""Random numbers from keys: known outputs, uniform, and a function of their key alone."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from scipy import stats

from pipelines.augment.counter_rng import key_uniforms, splitmix64


def _uniforms(count: int, places: range, *, seed: int = 1, number: int = 0) -> np.ndarray:
    numbers = tf.fill([count], tf.constant(number, tf.int64))
    indices = tf.range(count, dtype=tf.int64)
    return np.asarray(key_uniforms(tf.constant(seed, tf.int64), numbers, indices, places))


def test_splitmix64_gives_the_published_numbers() -> None:
    # Of the generator started at 1234567, as its authors' C code prints them.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    golden = 0x9E3779B97F4A7C15
    states = tf.constant([(1234567 + i * golden) % 2**64 for i in range(3)], tf.uint64)
    assert np.asarray(splitmix64(states)).tolist() == expected


def test_uniforms_are_uniform_and_independent() -> None:
    drawn = _uniforms(20_000, range(20))
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert stats.kstest(drawn.ravel(), "uniform").pvalue > 0.001
    # 4.5 standard deviations: among 190 pairs one is beyond them once in 800 times.
    limit = 4.5 / np.sqrt(20_000)
    between_places = np.corrcoef(drawn.T) - np.eye(20)
    assert np.abs(between_places).max() < limit
    assert abs(np.corrcoef(drawn[:-1].ravel(), drawn[1:].ravel())[0, 1]) < limit, "neighbors"
    other_pass = _uniforms(20_000, range(20), number=1)
    assert abs(np.corrcoef(drawn.ravel(), other_pass.ravel())[0, 1]) < limit


def test_uniforms_differ_by_every_part_of_the_key() -> None:
    rows = [
        _uniforms(50, range(4), seed=seed, number=number)
        for seed in range(5)
        for number in range(5)
    ]
    numbers = np.concatenate(rows).ravel()
    # 5,000 of 2^24: seven pairs in ten million would be the same by chance, 0.7 here.
    assert len(np.unique(numbers)) > 4990


def test_uniforms_of_an_image_are_the_same_in_any_batch_in_graphs_and_under_xla() -> None:
    together = _uniforms(9, range(16))
    for index in range(9):
        one = tf.constant([index], tf.int64)
        alone = key_uniforms(tf.constant(1, tf.int64), tf.zeros(1, tf.int64), one, range(16))
        np.testing.assert_array_equal(alone[0], together[index])
    for compiled in (False, True):
        in_graph = tf.function(key_uniforms, jit_compile=compiled)
        found = in_graph(
            tf.constant(1, tf.int64), tf.zeros(9, tf.int64), tf.range(9, dtype=tf.int64), range(16)
        )
        np.testing.assert_array_equal(found, together)
