"""Source → tf.data: decode in parallel, shuffle and augment by (seed, epoch, index)."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pipelines.augment.geometry import AugmentConfig, render_augmented
from pipelines.sources.source import Examples
from zoo.preprocessing import Preprocessing, decode


class InputConfig(Preprocessing):
    """How images reach the network.

    Args:
        size: Height and width in pixels; 0 takes the backbone's own.
        batch_size: Images a step.
        cache_mib: Memory for decoded training images, in MiB. What does not fit
            is read and decoded anew each epoch.
    """

    size: Annotated[int, Field(ge=0, le=1024)] = 0
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 32
    cache_mib: Annotated[int, Field(ge=0)] = 1024

    @property
    def preprocessing(self) -> Preprocessing:
        """The transform alone."""
        return Preprocessing(size=self.size, fit=self.fit, interpolation=self.interpolation)


@dataclass(frozen=True)
class TrainStream:
    """Batches without end.

    Args:
        dataset: Yields (uint8 [B, S, S, 3], float32 [B, C] one-hot, float32 [B]
            weights), every batch of the same size.
        steps_per_epoch: Batches an epoch: the fewest that hold every image.
    """

    dataset: Any
    steps_per_epoch: int


def build_train_stream(
    examples: Examples,
    config: InputConfig,
    augment: AugmentConfig,
    *,
    class_weights: npt.NDArray[np.float32],
    seed: int,
    first_epoch: int = 0,
    num_replicas: int = 1,
) -> TrainStream:
    """Builds the shuffled, augmented training input.

    The images pass again and again, each pass in its own order, and batches are
    cut from that stream wherever a pass ends: every image comes equally often,
    and no batch is ragged, which compilers and mirrored devices need. Which
    image stands where and how it is augmented is a function of (seed, pass,
    index) alone, so the stream from epoch 3 on is the same whether it started
    there or at 0, at any parallelism.

    Args:
        examples: The training split.
        config: Size, batch size, memory.
        augment: How far images vary.
        class_weights: float32 [C], what an image of each class counts.
        seed: Of order and augmentation.
        first_epoch: Where the stream starts.
        num_replicas: Devices that share a batch evenly.
    """
    import tensorflow as tf

    count = len(examples)
    batch = max(min(config.batch_size, count) // num_replicas, 1) * num_replicas
    steps = steps_per_epoch(count, batch)
    fetch = _fetcher(examples, config.cache_mib * 2**20)
    labels = tf.constant(examples.labels)
    weights = tf.constant(class_weights, tf.float32)
    preprocessing = config.preprocessing

    def view(position: Any) -> Any:
        number, index = position // count, position % count
        if count > 1:
            index = tf.random.experimental.index_shuffle(index, tf.stack([seed, number]), count - 1)
        key = tf.stack([seed, number, index])
        image = render_augmented(fetch(index), preprocessing, augment, key)
        return image, tf.one_hot(labels[index], len(class_weights)), weights[labels[index]]

    first = first_epoch * steps * batch
    positions = tf.data.Dataset.range(first, np.iinfo(np.int64).max)
    views = positions.map(view, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = views.batch(batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    return TrainStream(dataset, steps)


def steps_per_epoch(num_images: int, batch_size: int) -> int:
    """Returns the fewest batches that hold every image."""
    return -(-num_images // min(batch_size, num_images))


def build_eval_dataset(
    examples: Examples, preprocessing: Preprocessing, batch_size: int, num_classes: int
) -> Any:
    """Builds the input of validation, test and prediction: in order, nothing random.

    Args:
        examples: Any split.
        preprocessing: The transform.
        batch_size: Images a batch.
        num_classes: C.

    Returns:
        A finite `tf.data.Dataset` of (uint8 [B, S, S, 3], float32 [B, C]).
    """
    import tensorflow as tf

    fetch = _fetcher(examples, 0)
    labels = tf.constant(examples.labels)
    dataset = tf.data.Dataset.range(len(examples)).map(
        lambda index: (
            preprocessing.fit_image(fetch(index)),
            tf.one_hot(labels[index], num_classes),
        ),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def _fetcher(examples: Examples, budget: int) -> Any:
    """Returns a graph function from an index to a decoded image.

    Decoded images are kept in one flat buffer when all of them fit the budget:
    reading from it needs no lock and no Python, however many calls run at once.
    """
    import tensorflow as tf

    kept = _decode_all(examples, budget) if budget else None
    if kept is not None:
        shapes = tf.constant([image.shape for image in kept], tf.int64)
        ends = np.cumsum([image.size for image in kept])
        starts = tf.constant(ends - [image.size for image in kept], tf.int64)
        pixels = tf.constant(np.concatenate([image.ravel() for image in kept]))

        def fetch_kept(index: Any) -> Any:
            shape = shapes[index]
            flat = tf.slice(pixels, [starts[index]], [tf.reduce_prod(shape)])
            return tf.ensure_shape(tf.reshape(flat, shape), (None, None, 3))

        return fetch_kept
    if examples.files is not None:
        paths = tf.constant([str(path) for path in examples.files])
        return lambda index: decode(tf.io.read_file(paths[index]))
    encoded = tf.constant(examples.encoded)
    return lambda index: decode(encoded[index])


def _decode_all(examples: Examples, budget: int) -> Sequence[npt.NDArray[np.uint8]] | None:
    images: list[npt.NDArray[np.uint8]] = []
    used = 0
    # TensorFlow's decoders release the interpreter's lock, so threads do decode in parallel.
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(examples), 64):
            indices = range(start, min(start + 64, len(examples)))
            images.extend(pool.map(lambda i: decode(examples.read(i)).numpy(), indices))
            used += sum(image.nbytes for image in images[start:])
            if used > budget:
                return None
    return images
