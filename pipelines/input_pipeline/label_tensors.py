"""Label and weight tensors of each task, as graph functions of an image's index.

A class is one-hot, labels are 0 or 1 each, a number is standardized. Beside the class of an image
with a teacher stands what that says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.sources.source import Examples
from zoo.tasks import Task

Lookup = Callable[[Any], dict[str, Any]]


def build_label_lookup(examples: Examples, tasks: Sequence[Task]) -> Lookup:
    """Builds a graph function from image indices to labels.

    Args:
        examples: Any split.
        tasks: What the model learns.

    Returns:
        Maps int64 [] or [B] to float32 [..., K] by task: K is the number of classes, or
        1 for a number, standardized to (y − mean) / std. Of examples with soft targets K is
        twice the number of classes: the shares of the label and of the teacher, as
        `tuning.optimization.distillation` has them.
    """
    import tensorflow as tf

    tables = {}
    for task in tasks:
        targets = examples.targets[task.name]
        if task.kind == "regression":
            standardized = (targets.astype(np.float64) - task.mean) / task.std
            targets = standardized[:, np.newaxis].astype(np.float32)
        tables[task.name] = tf.constant(targets)
    soft = examples.soft_targets
    if soft is not None:
        probabilities, shares = tf.constant(soft.probabilities), tf.constant(soft.shares)

    def look_up(index: Any) -> dict[str, Any]:
        labels = {name: tf.gather(table, index) for name, table in tables.items()}
        for task in tasks:
            if task.kind == "single_label":
                labels[task.name] = tf.one_hot(labels[task.name], task.num_outputs)
                if soft is not None:
                    share = tf.gather(shares, index)[..., tf.newaxis]
                    parts = labels[task.name] * (1 - share), tf.gather(probabilities, index) * share
                    labels[task.name] = tf.concat(parts, axis=-1)
        return labels

    return look_up


def build_weight_lookup(
    examples: Examples,
    tasks: Sequence[Task],
    class_weights: Mapping[str, npt.NDArray[np.float32]],
) -> Lookup:
    """Builds a graph function from image indices to the images' weights in the loss.

    Args:
        examples: Any split.
        tasks: What the model learns.
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


def compute_balanced_weights(examples: Examples, task: Task) -> npt.NDArray[np.float32]:
    """Computes class weights that balance the classes, N / (C · N_class).

    Args:
        examples: The training images, N.
        task: A single-label task of C classes.

    Returns:
        float32 [C].
    """
    counts = np.bincount(examples.targets[task.name], minlength=task.num_outputs)
    return (len(examples) / (len(counts) * counts)).astype(np.float32)
