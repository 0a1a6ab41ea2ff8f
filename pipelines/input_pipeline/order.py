"""Sampling order of training: which image each position of the endless stream shows."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Oversample = Literal["none", "balanced"]


class SampleKeys(NamedTuple):
    """Keys of the samples at some positions of the stream.

    A sample is one occurrence of an image within a pass. `(pass_indices, sample_indices)`
    is the key that augmentation draws from, so an image that an oversampled pass shows
    twice looks different each time.

    Args:
        pass_indices: int64 [B], passes over the training split, counted from 0.
        sample_indices: int64 [B], samples of the pass, in 0 to `num_samples` - 1; the
            image indices where nothing is oversampled.
        image_indices: int64 [B], images of the training split.
        weights: float32 [B], sample weights, to be multiplied by the class weights.
    """

    pass_indices: Any
    sample_indices: Any
    image_indices: Any
    weights: Any


@dataclass(frozen=True)
class OversamplingMap:
    """Random oversampling: maps the samples of a pass to images, equally many per class.

    Every class has as many samples in a pass as the largest class has images. A smaller
    class repeats its images; how often two images of a class occur in a pass differs by
    at most one, and each pass draws anew which images occur once more.

    Args:
        num_samples: Samples per pass.
        images_by_class: int64 [N], image indices, grouped by class.
        class_starts: int64 [C], where each class begins in `images_by_class`.
        class_sizes: int64 [C], images per class.
        seed: Seed of the draw.
    """

    num_samples: int
    images_by_class: npt.NDArray[np.int64]
    class_starts: npt.NDArray[np.int64]
    class_sizes: npt.NDArray[np.int64]
    seed: int

    def image_indices(self, sample_indices: Any, pass_indices: Any) -> Any:
        """Returns the images of samples, int64 [B].

        Args:
            sample_indices: int64 [B], in 0 to `num_samples` - 1.
            pass_indices: int64 [B].
        """
        import tensorflow as tf

        num_classes = len(self.class_sizes)
        samples_per_class = self.num_samples // num_classes
        label = sample_indices // samples_per_class
        repetition = sample_indices % samples_per_class
        size = tf.gather(self.class_sizes, label)
        # One permutation per class and pass. Negative keys never collide with the pass
        # indices, which key the order of a pass.
        key = -1 - pass_indices * num_classes - label
        # The op needs max_index of at least 1; a class of one image is not permuted.
        permuted = permute_indices(repetition % size, tf.maximum(size - 1, 1), self.seed, key)
        member = tf.gather(self.class_starts, label) + tf.where(size > 1, permuted, 0)
        return tf.gather(self.images_by_class, member)


def build_oversampling_map(labels: npt.NDArray[np.int64], *, seed: int) -> OversamplingMap:
    """Builds the map that balances the classes.

    Args:
        labels: int64 [N], class of each image.
        seed: Seed of the draw.

    Example:
        >>> build_oversampling_map(np.array([0, 0, 0, 1]), seed=0).num_samples
        6
    """
    _, class_sizes = np.unique(labels, return_counts=True)
    return OversamplingMap(
        num_samples=len(class_sizes) * int(class_sizes.max()),
        images_by_class=np.argsort(labels, kind="stable"),
        class_starts=np.cumsum(class_sizes) - class_sizes,
        class_sizes=class_sizes,
        seed=seed,
    )


@dataclass(frozen=True)
class SampleOrder:
    """Order of the training stream: shuffled passes end to end, cut into equal batches.

    A pass shows every sample once, in an order of its own. What a position of the stream
    shows is a pure function of (seed, pass, sample), so a stream that starts at epoch 3
    equals one that reached epoch 3 from 0.

    Args:
        num_samples: Samples per pass: the images, or more of them with oversampling.
        batch_size: Samples per batch.
        steps_per_epoch: Batches per epoch: the fewest that hold a pass.
        stride: Positions from one pass to the next: `num_samples`, or
            `steps_per_epoch * batch_size` where every epoch is one pass.
        seed: Seed of shuffling, oversampling and augmentation.
        oversampling: Map from samples to images; None where each image is one sample.
    """

    num_samples: int
    batch_size: int
    steps_per_epoch: int
    stride: int
    seed: int
    oversampling: OversamplingMap | None

    def sample_keys(self, positions: Any) -> SampleKeys:
        """Returns the keys of the samples at positions of the stream, int64 [B]."""
        import tensorflow as tf

        pass_indices, offsets = positions // self.stride, positions % self.stride
        # Positions past the end of a pass repeat its first samples with weight 0; the
        # others make up for them, so the epoch's mean loss is the pass's mean loss.
        is_sample = tf.cast(offsets < self.num_samples, tf.float32)
        weights = is_sample * (self.stride / self.num_samples)
        samples = offsets % self.num_samples
        if self.num_samples > 1:
            last = tf.fill(tf.shape(samples), np.int64(self.num_samples - 1))
            samples = permute_indices(samples, last, self.seed, pass_indices)
        images = samples
        if self.oversampling is not None:
            images = self.oversampling.image_indices(samples, pass_indices)
        return SampleKeys(pass_indices, samples, images, weights)

    def batch_keys(self, step: Any) -> SampleKeys:
        """Returns the keys of a batch; `step` is int64 [], counted from the stream's start."""
        import tensorflow as tf

        positions = step * self.batch_size + tf.range(self.batch_size, dtype=tf.int64)
        return self.sample_keys(positions)


def build_order(
    labels: npt.NDArray[np.int64],
    batch_size: int,
    *,
    seed: int,
    oversample: Oversample = "none",
    whole_passes: bool = False,
    num_replicas: int = 1,
) -> SampleOrder:
    """Builds the order of the training stream.

    Args:
        labels: int64 [N], class of each image.
        batch_size: Images per batch; at most a pass is used, rounded down to a multiple
            of `num_replicas`, so that each device gets at least one image.
        seed: Seed of shuffling, oversampling and augmentation.
        oversample: `balanced` repeats images of rare classes until the classes are equal.
        whole_passes: Whether every epoch is exactly one pass, as full-batch descent
            needs. The samples that fill up the last batch have weight 0, and the other
            weights compensate: the mean over the epoch is the mean over the pass.
        num_replicas: Devices that share each batch evenly.

    Example:
        >>> labels = np.zeros(20, np.int64)
        >>> build_order(labels, 6, seed=0).steps_per_epoch
        4
        >>> build_order(labels, 6, seed=0, num_replicas=4).batch_size
        4
    """
    oversampling = None if oversample == "none" else build_oversampling_map(labels, seed=seed)
    num_samples = oversampling.num_samples if oversampling else len(labels)
    batch = max(min(batch_size, num_samples) // num_replicas, 1) * num_replicas
    steps_per_epoch = math.ceil(num_samples / batch)
    stride = steps_per_epoch * batch if whole_passes else num_samples
    return SampleOrder(num_samples, batch, steps_per_epoch, stride, seed, oversampling)


def build_step_dataset(order: SampleOrder, first_epoch: int, *, endless: bool = True) -> Any:
    """Builds a dataset of step numbers, int64 [], counted from the start of epoch 0.

    Args:
        order: Order of the training stream.
        first_epoch: Epoch at which the dataset starts.
        endless: Whether one iteration never ends. If False, each iteration over the
            dataset is one epoch: the first one `first_epoch`, the next one that after it.
    """
    import tensorflow as tf

    num_steps = order.steps_per_epoch
    if endless:
        last_step = np.iinfo(np.int64).max // order.batch_size
        return tf.data.Dataset.range(first_epoch * num_steps, last_step)
    epochs = itertools.count(first_epoch)

    def first_step(_: Any) -> Any:
        return np.int64(next(epochs) * num_steps)

    def steps_from(zero: Any) -> Any:
        # `stateful=True` would make TensorFlow run the maps after it one element at a time
        # where its ops are to be deterministic.
        start = tf.numpy_function(first_step, [zero], tf.int64, stateful=False)
        return tf.data.Dataset.range(start, start + num_steps)

    steps = tf.data.Dataset.range(1).flat_map(steps_from)
    return steps.apply(tf.data.experimental.assert_cardinality(num_steps))


def permute_indices(indices: Any, last: Any, seed: int, keys: Any) -> Any:
    """Applies a pseudo-random permutation of 0 to `last` to each index; returns int64 [B].

    Args:
        indices: int64 [B], each in 0 to `last`.
        last: int64 [B], the largest index, ≥ 1.
        seed: Seed of the permutation.
        keys: int64 [B]; each key selects a permutation of its own.
    """
    import tensorflow as tf

    # The op of `tf.random.experimental.index_shuffle`, whose wrapper (TensorFlow 2.21) pads
    # a batch of seeds along the wrong axis; the constant is the wrapper's padding.
    padding = tf.fill(tf.shape(keys), tf.constant(498247692, tf.int64))
    seeds = tf.stack([padding, tf.fill(tf.shape(keys), tf.constant(seed, tf.int64)), keys], 1)
    return tf.raw_ops.RandomIndexShuffle(index=indices, seed=seeds, max_index=last, rounds=4)
