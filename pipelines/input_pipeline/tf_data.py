"""tf.data helpers with AutoGraph and autotuning off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipelines.runtime.devices import num_cores


def map_graph(dataset: Any, function: Callable[..., Any], *, parallel: bool = False) -> Any:
    """Maps a dataset by a function of TensorFlow operations, without AutoGraph.

    AutoGraph rewrites the source of the function and of all that it calls, in search of
    Python's `if` and `for` on tensors. This project's functions have none, and the search
    takes longer than the first epoch of many a job.

    Args:
        dataset: A `tf.data.Dataset`.
        function: Takes an element's components.
        parallel: Whether to map several elements at once; their order stays.

    Returns:
        A `tf.data.Dataset`.
    """
    import tensorflow as tf

    calls = num_cores() if parallel else None
    return dataset.map(tf.autograph.experimental.do_not_convert(function), num_parallel_calls=calls)


def prefetch(dataset: Any) -> Any:
    """Prefetches two batches, in threads of its own; the last step of every dataset.

    Threads of its own, since a deterministic job leaves TensorFlow one thread for operations
    (`pipelines.runtime.devices.prepare_devices`). Autotuning is off: its thread sleeps for
    longer and longer, and an iterator that ends waits until it wakes, 2.6, 5.1 or 10.2
    seconds after the iterator's start (TensorFlow 2.21).

    Args:
        dataset: A `tf.data.Dataset`.

    Returns:
        A `tf.data.Dataset`.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = num_cores()
    return dataset.prefetch(2).with_options(options)
