"""Source → tf.data: decode in parallel, shuffle and augment by (seed, epoch, index)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pipelines.augment.geometry import AugmentConfig, render_augmented
from pipelines.sampling import Oversample, build_places
from pipelines.sources.source import Examples
from zoo.errors import DataError
from zoo.preprocessing import Preprocessing, decode


class InputConfig(Preprocessing):
    """How images reach the network.

    Args:
        size: Height and width in pixels; 0 takes the backbone's own.
        batch_size: Images a step.
        cache_mib: Memory, in MiB, that the decoded training images may take, at
            3 bytes a pixel of the files' own sizes; TensorFlow takes as much again
            while it trains on them. Counted apart, it is also what the fitted
            validation images may take, at 3 × size². All are kept, or none: where
            they do not all fit, each is read and decoded anew each epoch. 0 keeps
            none.
    """

    size: Annotated[int, Field(ge=0, le=1024)] = 0
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 32
    cache_mib: Annotated[int, Field(ge=0)] = 1024

    @property
    def preprocessing(self) -> Preprocessing:
        """The transform alone."""
        return Preprocessing(size=self.size, fit=self.fit, interpolation=self.interpolation)


@dataclass(frozen=True)
class DecodedImages:
    """Images decoded once and kept in one flat buffer.

    Reading from it needs no lock and no Python, however many calls run at once.

    Args:
        pixels: uint8 [sum of H × W × 3], one image after the other.
        starts: int64 [N], where each begins.
        shapes: int64 [N, 3], height, width and 3.
    """

    pixels: Any
    starts: Any
    shapes: Any

    def fetch(self, index: Any) -> Any:
        """Returns the image at an index, int64 [], as uint8 [H, W, 3], in the graph or eagerly."""
        import tensorflow as tf

        shape = self.shapes[index]
        flat = tf.slice(self.pixels, [self.starts[index]], [tf.reduce_prod(shape)])
        return tf.ensure_shape(tf.reshape(flat, shape), (None, None, 3))


def decode_images(examples: Examples, cache_mib: int) -> DecodedImages | None:
    """Decodes all images into memory, if they fit.

    Whether they do is known from their scan, so nothing is decoded in vain. They
    are decoded in parallel into one buffer, which TensorFlow then reads; beside it,
    only the images being decoded at the moment take memory. An iterator over a
    stream of them holds a copy, since tf.data copies what a function captures when
    it rewrites the pipeline.

    Args:
        examples: Scanned, so that their sizes are known; others do not fit.
        cache_mib: How much they may take, in MiB.

    Returns:
        The images, or None where they do not fit.

    Raises:
        DataError: A file is no longer what it was when it was scanned.
    """
    if examples.shapes is None or not len(examples):
        return None
    sizes = 3 * examples.shapes.prod(axis=1)
    ends = np.cumsum(sizes)
    if ends[-1] > cache_mib * 2**20:
        return None
    import tensorflow as tf

    shapes = np.insert(examples.shapes, 2, 3, axis=1)
    buffer = _aligned(int(ends[-1]))

    def fill(index: int) -> None:
        try:
            with tf.device("CPU"):
                image = decode(tf.constant(examples.read(index))).numpy()
        except (OSError, tf.errors.OpError):
            image = np.empty((0, 0, 3), np.uint8)
        if image.shape != tuple(shapes[index]):
            raise DataError(
                f"{examples.names[index]} changed while the job ran",
                expected=" × ".join(map(str, shapes[index, :2])) + " pixels, as it was scanned",
                received=" × ".join(map(str, image.shape[:2])) if image.size else "no image",
                mend="start again",
            )
        buffer[ends[index] - sizes[index] : ends[index]] = image.ravel()

    # TensorFlow's decoders release the interpreter's lock, so threads do decode in parallel.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for _ in pool.map(fill, range(len(examples))):
            pass
    with tf.device("CPU"):
        return DecodedImages(
            # `tf.constant` would copy it, twice; this shares it.
            pixels=tf.experimental.dlpack.from_dlpack(buffer.__dlpack__()),
            starts=tf.constant(ends - sizes, tf.int64),
            shapes=tf.constant(shapes, tf.int64),
        )


@dataclass(frozen=True)
class TrainStream:
    """Batches without end.

    Args:
        dataset: Yields (uint8 [B, S, S, 3], float32 [B, C] one-hot, float32 [B]
            weights), every batch of the same size.
        steps_per_epoch: Batches an epoch: the fewest that hold a pass.
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
    oversample: Oversample = "none",
    whole_passes: bool = False,
    first_epoch: int = 0,
    num_replicas: int = 1,
    images: DecodedImages | None = None,
) -> TrainStream:
    """Builds the shuffled, augmented training input.

    The images pass again and again, each pass in its own order, and batches are
    cut from that stream wherever a pass ends: every image comes equally often
    (every class, where rare ones are oversampled), and no batch is ragged, which
    compilers and mirrored devices need. Which image stands where and how it is
    augmented is a function of (seed, pass, index) alone, so the stream from epoch 3
    on is the same whether it started there or at 0, at any parallelism.

    Args:
        examples: The training split.
        config: Size, batch size, memory.
        augment: How far images vary.
        class_weights: float32 [C], what an image of each class counts.
        seed: Of order and augmentation.
        oversample: Whether rare classes come round more often; `pipelines.sampling`.
        whole_passes: Whether every epoch is one pass, as full-batch descent needs it:
            what fills up its last batch has no weight, and the others make up for it, so
            that the mean over the epoch is the mean over the pass.
        first_epoch: Where the stream starts.
        num_replicas: Devices that share a batch evenly.
        images: What `decode_images` returned for these examples, so that several
            streams share it; None calls it.
    """
    import tensorflow as tf

    places = build_places(examples.labels, oversample, seed=seed)
    count = places.count if places else len(examples)
    batch = _even_batch(count, config.batch_size, num_replicas)
    steps = steps_per_epoch(count, config.batch_size, num_replicas)
    images = images or decode_images(examples, config.cache_mib)
    fetch = images.fetch if images else _reader(examples)
    labels = tf.constant(examples.labels)
    weights = tf.constant(class_weights, tf.float32)
    preprocessing = config.preprocessing

    stride = steps * batch if whole_passes else count

    def view(position: Any) -> Any:
        number, place = position // stride, position % stride
        share = tf.cast(place < count, tf.float32) * (stride / count)
        place %= count
        if count > 1:
            place = tf.random.experimental.index_shuffle(place, tf.stack([seed, number]), count - 1)
        # An image that comes twice in a pass looks different each time.
        key = tf.stack([seed, number, place])
        index = places.image_at(place, number) if places else place
        image = render_augmented(fetch(index), preprocessing, augment, key)
        weight = weights[labels[index]] * share
        return image, tf.one_hot(labels[index], len(class_weights)), weight

    first = first_epoch * steps * batch
    positions = tf.data.Dataset.range(first, np.iinfo(np.int64).max)
    views = positions.map(view, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = views.batch(batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    return TrainStream(dataset, steps)


def build_views_dataset(
    examples: Examples,
    preprocessing: Preprocessing,
    augment: AugmentConfig,
    *,
    seed: int,
    views: Sequence[int],
    batch_size: int,
    numbers: npt.NDArray[np.int64] | None = None,
    images: DecodedImages | None = None,
) -> Any:
    """Builds several views of every image, in order: what features are extracted from.

    View 0 is the one that validation shows. Any other is drawn from the key (seed,
    view, number of the image), so it depends neither on the batch size nor on which
    other images or views are asked for. An image is decoded once for all its views.

    Args:
        examples: Any split.
        preprocessing: The transform.
        augment: How far images vary.
        seed: Of the augmentation.
        views: Which views, 0 or more.
        batch_size: Views a batch, across images; the last one has what is left.
        numbers: int64 [N], what stands for each image in its key; None counts them
            from 0, as the training stream does.
        images: What `decode_images` returned for these examples; None reads and
            decodes each image when its turn comes.

    Returns:
        A finite `tf.data.Dataset` of uint8 [b, S, S, 3]: all views of the first
        image, then those of the second, and so on.
    """
    import tensorflow as tf

    fetch = images.fetch if images else _reader(examples)
    counted = np.arange(len(examples)) if numbers is None else numbers
    keys = tf.constant(counted, tf.int64)

    def render(index: Any) -> Any:
        image = fetch(index)
        return tf.stack(
            [
                render_augmented(
                    image, preprocessing, augment, tf.stack([np.int64(seed), view, keys[index]])
                )
                if view
                else preprocessing.fit_image(image)
                for view in map(np.int64, views)
            ]
        )

    indices = tf.data.Dataset.range(len(examples))
    rendered = indices.map(render, num_parallel_calls=tf.data.AUTOTUNE).unbatch()
    return rendered.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def steps_per_epoch(num_images: int, batch_size: int, num_replicas: int = 1) -> int:
    """Returns the fewest batches that hold a pass, as `build_train_stream` cuts them.

    Args:
        num_images: N; with oversampling the places of a pass.
        batch_size: Images a batch that were asked for.
        num_replicas: Devices that share a batch evenly, for which it is rounded.

    Example:
        >>> steps_per_epoch(20, 6), steps_per_epoch(20, 6, num_replicas=4)
        (4, 5)
    """
    return -(-num_images // _even_batch(num_images, batch_size, num_replicas))


def _even_batch(num_images: int, batch_size: int, num_replicas: int) -> int:
    """Rounds a batch down to what devices share evenly; each gets at least one image."""
    return max(min(batch_size, num_images) // num_replicas, 1) * num_replicas


def build_eval_dataset(
    examples: Examples,
    preprocessing: Preprocessing,
    batch_size: int,
    num_classes: int,
    *,
    cache_mib: int = 0,
) -> Any:
    """Builds the input of validation, test and prediction: in order, nothing random.

    Args:
        examples: Any split.
        preprocessing: The transform.
        batch_size: Images a batch.
        num_classes: C.
        cache_mib: Memory, in MiB, that the fitted images may take, at 3 × S² bytes
            each. If all of them fit, the first pass keeps them for those after it;
            else each pass decodes anew.

    Returns:
        A finite `tf.data.Dataset` of (uint8 [B, S, S, 3], float32 [B, C]).
    """
    import tensorflow as tf

    fetch = _reader(examples)
    indices = tf.data.Dataset.range(len(examples))
    images = indices.map(
        lambda index: preprocessing.fit_image(fetch(index)), num_parallel_calls=tf.data.AUTOTUNE
    ).batch(batch_size)
    if len(examples) * 3 * preprocessing.size**2 <= cache_mib * 2**20:
        images = images.cache()
    labels = tf.data.Dataset.from_tensor_slices(examples.labels).batch(batch_size)
    one_hot = labels.map(lambda label: tf.one_hot(label, num_classes))
    return tf.data.Dataset.zip(images, one_hot).prefetch(tf.data.AUTOTUNE)


def _reader(examples: Examples) -> Any:
    """Returns a graph function from an index to an image that is read and decoded there."""
    import tensorflow as tf

    with tf.device("CPU"):
        if examples.files is not None:
            # As bytes, since a file's name need not be valid UTF-8.
            paths = tf.constant([os.fsencode(path) for path in examples.files])
            return lambda index: decode(tf.io.read_file(paths[index]))
        encoded = tf.constant(examples.encoded)
        return lambda index: decode(encoded[index])


def _aligned(size: int) -> npt.NDArray[np.uint8]:
    """Returns uint8 [size] that begins where TensorFlow wants its tensors to."""
    alignment = 64  # Bytes; memory that begins elsewhere it copies.
    memory = np.empty(size + alignment, np.uint8)
    start = -memory.ctypes.data % alignment
    return memory[start : start + size]
