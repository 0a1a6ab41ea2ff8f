"""Label and weight tensors of each task, as graph functions of an image's index.

A class is one-hot, labels are 0 or 1 each, a number is standardized.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.sources.source import Examples
from zoo.tasks import Task

Lookup = Callable[[Any], dict[str, Any]]


def build_labels(examples: Examples, tasks: Sequence[Task]) -> Lookup:
    """Returns a graph function from an index, or a batch of them, to labels.

    Args:
        examples: Any split.
        tasks: What is learned, in order.

    Returns:
        Maps int64 [] or [B] to float32 [..., K] by task: K is the number of classes, or
        1 for a number, standardized to (y − mean) / std.
    """
    import tensorflow as tf

    tables = {}
    for task in tasks:
        target = examples.targets[task.name]
        if task.kind == "regression":
            standard = (target.astype(np.float64) - task.mean) / task.std
            target = standard[:, np.newaxis].astype(np.float32)
        tables[task.name] = tf.constant(target)

    def look_up(index: Any) -> dict[str, Any]:
        found = {name: tf.gather(table, index) for name, table in tables.items()}
        for task in tasks:
            if task.kind == "single_label":
                found[task.name] = tf.one_hot(found[task.name], task.num_outputs)
        return found

    return look_up


def build_weights(
    examples: Examples,
    tasks: Sequence[Task],
    class_weights: Mapping[str, npt.NDArray[np.float32]],
) -> Lookup:
    """Returns a graph function from an index to an image's weight in each task's loss.

    Args:
        examples: Any split.
        tasks: What is learned, in order.
        class_weights: The weight of an image of each class, float32 [C] by task; images
            weigh 1 in a task that is absent.

    Returns:
        Maps int64 [] or [B] to float32 of that shape by task.
    """
    import tensorflow as tf

    tables = {}
    for task in tasks:
        weights = np.ones(len(examples), np.float32)
        if task.name in class_weights:
            weights = class_weights[task.name][examples.targets[task.name]]
        tables[task.name] = tf.constant(weights, tf.float32)
    return lambda index: {name: tf.gather(table, index) for name, table in tables.items()}


def balanced_weights(examples: Examples, task: Task) -> npt.NDArray[np.float32]:
    """Computes weights that balance the classes, N / (C · N_class), float32 [C].

    Args:
        examples: The training images.
        task: One of single labels.
    """
    counts = np.bincount(examples.targets[task.name], minlength=task.num_outputs)
    return (len(examples) / (len(counts) * counts)).astype(np.float32)
