"""How this project runs a `tf.data.Dataset`: what TensorFlow would find out, it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipelines.runtime.devices import num_cores


def map_graph(dataset: Any, function: Callable[..., Any], *, parallel: bool = False) -> Any:
    """Maps a dataset by a function that is written in TensorFlow's operations.

    `Dataset.map` has AutoGraph rewrite the source of the function and of all that it
    calls, to find Python's `if` and `for` on tensors. There are none here, and the search
    for them takes longer than many a job's first epoch.

    Args:
        dataset: A `tf.data.Dataset`.
        function: Of an element's components.
        parallel: Whether several elements are mapped at once; their order stays.

    Returns:
        A `tf.data.Dataset`.
    """
    import tensorflow as tf

    calls = num_cores() if parallel else None
    return dataset.map(tf.autograph.experimental.do_not_convert(function), num_parallel_calls=calls)


def keep_ahead(dataset: Any) -> Any:
    """Keeps two batches ready, the last step of every dataset.

    How many calls and batches, tf.data is told and does not find out: it would do so in a
    thread that sleeps for ever longer, and the end of an iterator waits for it to wake,
    2.6, 5.1, 10.2 seconds after the iterator's start (TensorFlow 2.21).

    Args:
        dataset: A `tf.data.Dataset`.

    Returns:
        A `tf.data.Dataset`.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.prefetch(2).with_options(options)
