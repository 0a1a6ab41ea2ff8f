"""Times of activations and of prediction; the best of several, since others use the machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pipelines.studies.experiments.digits import NUM_CLASSES
from zoo.heads.activations import ACTIVATIONS
from zoo.heads.head import HeadConfig, build_head
from zoo.models.trainable import build_head_model


def time_activation(name: str, rows: int = 4096, units: int = 1024) -> float:
    """Returns the microseconds that an activation takes for a thousand units; the best of 7.

    Args:
        name: A row of ACTIVATIONS.
        rows: Rows at once.
        units: Units of a row.
    """
    layer = ACTIVATIONS[name].build(name)
    x = np.random.default_rng(0).normal(size=(rows, units)).astype(np.float32)
    return 1e6 * _best_seconds(lambda: layer(x), 7) / (rows * units / 1000)


def time_prediction(head: HeadConfig, rows: int = 2048) -> float:
    """Returns the microseconds a row that a network takes; the best of 9."""
    import keras
    import tensorflow as tf

    maps = keras.Input((1, 1, 64))
    model = build_head_model(keras.Model(maps, build_head(maps, head, NUM_CLASSES)))
    predict = tf.function(lambda x: model(x, training=False))
    x = tf.constant(np.random.default_rng(0).normal(size=(rows, 64)).astype(np.float32))
    return 1e6 * _best_seconds(lambda: predict(x), 9) / rows


def _best_seconds(compute: Callable[[], Any], rounds: int) -> float:
    """Returns the seconds of the fastest round, after one that does not count."""
    seconds = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        np.asarray(compute())
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])
