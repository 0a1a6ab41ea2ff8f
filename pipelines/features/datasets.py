"""tf.data datasets of features, which train and validate a head in the place of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.augment.counter_rng import generate_uniforms
from pipelines.features.feature_array import FeatureArray
from pipelines.input_pipeline.datasets import TrainStream
from pipelines.input_pipeline.label_tensors import build_label_lookup, build_weight_lookup
from pipelines.input_pipeline.order import SampleKeys, SampleOrder, build_step_dataset
from pipelines.input_pipeline.tf_data import map_graph, prefetch
from pipelines.sources.source import Examples
from zoo.tasks import Task, unwrap

# Augmentation is seeded below 2³¹, so views are drawn independently of what they show.
_VIEW_SEED_OFFSET = 2**32


def view_indices(keys: SampleKeys, num_views: int, seed: int) -> Any:
    """Returns the view that each sample shows.

    A sample goes through its views pass by pass, in a shuffled order of its own.

    Args:
        keys: Keys of B samples.
        num_views: V.
        seed: Seed of the shuffling.

    Returns:
        int64 [B], in 0 to V - 1.
    """
    import tensorflow as tf

    if num_views == 1:
        return tf.zeros_like(keys.pass_indices)
    # Sorted random numbers: `permute_indices` takes the longer, the fewer there are to permute.
    samples = keys.sample_indices
    draws = generate_uniforms(
        np.int64(seed + _VIEW_SEED_OFFSET), tf.zeros_like(samples), samples, range(num_views)
    )
    views = tf.argsort(draws, axis=1, stable=True)
    turn = keys.pass_indices % num_views
    return tf.cast(tf.gather(views, turn, batch_dims=1), tf.int64)


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
    """Builds the training stream of a head: features in the order that images would have.

    Args:
        features: Features of the training split.
        examples: The training split.
        pooling: As `FeatureArray.read` takes it.
        order: Order of the images and size of a batch.
        tasks: The tasks whose labels the stream yields.
        class_weights: float32 [C] by task name; weight 1 for the tasks left out.
        first_epoch: Epoch at which the stream starts.

    Returns:
        An endless stream of ([B, F], labels, sample weights).
    """
    labels_of = build_label_lookup(examples, tasks)
    weights_of = build_weight_lookup(examples, tasks, class_weights or {})

    def read_batch(step: Any) -> tuple[Any, Any, Any]:
        keys = order.batch_keys(step)
        views = view_indices(keys, features.num_views, order.seed)
        indices = keys.image_indices
        rows = _read(features, pooling, indices, views)
        weights = {name: w * keys.weights for name, w in weights_of(indices).items()}
        return rows, unwrap(tasks, labels_of(indices)), unwrap(tasks, weights)

    dataset = map_graph(build_step_dataset(order, first_epoch), read_batch, parallel=True)
    return TrainStream(prefetch(dataset), order.steps_per_epoch)


def build_feature_dataset(
    features: FeatureArray,
    examples: Examples,
    pooling: str,
    batch_size: int,
    tasks: Sequence[Task],
) -> Any:
    """Builds a dataset of plain views and labels for a head's evaluation, in order.

    Args:
        features: Features of any split.
        examples: The same split.
        pooling: As `FeatureArray.read` takes it.
        batch_size: Images per batch; the last batch may be smaller.
        tasks: The tasks whose labels the dataset yields.

    Returns:
        A finite `tf.data.Dataset` of ([B, F], labels).
    """
    import tensorflow as tf

    labels_of = build_label_lookup(examples, tasks)

    def read_batch(indices: Any) -> tuple[Any, Any]:
        rows = _read(features, pooling, indices, tf.zeros_like(indices))
        return rows, unwrap(tasks, labels_of(indices))

    indices = tf.data.Dataset.range(len(features)).batch(batch_size)
    return prefetch(map_graph(indices, read_batch, parallel=True))


def _read(features: FeatureArray, pooling: str, indices: Any, views: Any) -> Any:
    """Reads features in a graph, [B, F] in their dtype; F is the width of the head's input."""
    import tensorflow as tf

    def read(images: Any, views: Any) -> Any:
        return features.read(pooling, images, views)

    rows = tf.numpy_function(read, [indices, views], features.dtype, stateful=False)
    return tf.ensure_shape(rows, (indices.shape[0], features.width(pooling)))
