"""Streams of features: what a head is trained on in the place of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.features.feature_array import FeatureArray
from pipelines.input_pipeline.datasets import TrainStream
from pipelines.input_pipeline.label_tensors import build_labels, build_weights
from pipelines.input_pipeline.order import SampleKeys, SampleOrder, permute_indices
from pipelines.input_pipeline.tf_data import keep_ahead, map_graph
from pipelines.sources.source import Examples
from zoo.tasks import Task

# Apart from the key of any order, whose seed is below 2³¹.
_OF_VIEWS = 2**32


def view_indices(keys: SampleKeys, num_views: int, seed: int) -> Any:
    """Returns which view of the images stands at some positions.

    An image takes its views in turn, one in each pass, in an order of its own.

    Args:
        keys: What stands there.
        num_views: V.
        seed: Of the turns.

    Returns:
        int64 [B], in 0 to V - 1.
    """
    import tensorflow as tf

    if num_views == 1:
        return tf.zeros_like(keys.pass_indices)
    last = tf.fill(tf.shape(keys.pass_indices), np.int64(num_views - 1))
    return permute_indices(
        keys.pass_indices % num_views, last, seed + _OF_VIEWS, keys.sample_indices
    )


def build_feature_stream(
    features: FeatureArray,
    examples: Examples,
    pooling: str,
    order: SampleOrder,
    *,
    tasks: Sequence[Task],
    class_weights: Mapping[str, npt.NDArray[np.float32]] | None = None,
    first_epoch: int = 0,
) -> TrainStream:
    """Builds the training input of a head: `build_train_stream`, with features for images.

    Args:
        features: Of the training images.
        examples: Those images.
        pooling: The head's, a row of `zoo.heads.head.POOLINGS`.
        order: Which image stands where.
        tasks: What is learned.
        class_weights: By a task's name, float32 [C], what an image of each class counts.
        first_epoch: Where the stream starts.

    Returns:
        Batches of (float32 [B, F], labels, weights) without end.
    """
    import tensorflow as tf

    labels_of = build_labels(examples, tasks)
    weights_of = build_weights(examples, tasks, class_weights or {})

    def read(step: Any) -> tuple[Any, Any, Any]:
        keys = order.batch_keys(step)
        views = view_indices(keys, features.num_views, order.seed)
        rows = _read(features, pooling, keys.image_indices, views)
        weights = tf.nest.map_structure(lambda w: w * keys.weights, weights_of(keys.image_indices))
        return rows, labels_of(keys.image_indices), weights

    last = np.iinfo(np.int64).max // order.batch_size
    batches = tf.data.Dataset.range(first_epoch * order.steps_per_epoch, last)
    dataset = map_graph(batches, read, parallel=True)
    return TrainStream(keep_ahead(dataset), order.steps_per_epoch)


def build_feature_dataset(
    features: FeatureArray, examples: Examples, pooling: str, batch_size: int, tasks: Sequence[Task]
) -> Any:
    """Builds the input of a head's validation: the plain views, in order.

    Args:
        features: Of any split.
        examples: Its images.
        pooling: The head's.
        batch_size: Images a batch.
        tasks: What is asked.

    Returns:
        A finite `tf.data.Dataset` of (float32 [B, F], labels).
    """
    import tensorflow as tf

    labels_of = build_labels(examples, tasks)

    def read(indices: Any) -> tuple[Any, Any]:
        return _read(features, pooling, indices, tf.zeros_like(indices)), labels_of(indices)

    indices = tf.data.Dataset.range(len(features)).batch(batch_size)
    return keep_ahead(map_graph(indices, read, parallel=True))


def _read(features: FeatureArray, pooling: str, indices: Any, views: Any) -> Any:
    import tensorflow as tf

    def read(images: Any, views: Any) -> Any:
        return features.read(pooling, images, views)

    rows = tf.numpy_function(read, [indices, views], tf.float32, stateful=False)
    return tf.ensure_shape(rows, (indices.shape[0], features.width(pooling)))
