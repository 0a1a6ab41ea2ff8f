"""Source → tf.data: decode in parallel, shuffle and augment by (seed, epoch, index)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.augment.augmenter import Augmenter, HostRenderer, needs_axes
from pipelines.augment.color_pca import fit_axes
from pipelines.augment.plan import Views
from pipelines.augment.policies import AugmentConfig
from pipelines.input_pipeline.config import InputConfig
from pipelines.input_pipeline.decoded_images import DecodedImages, decode_images
from pipelines.input_pipeline.label_tensors import build_labels, build_weights
from pipelines.input_pipeline.order import SampleKeys, SampleOrder
from pipelines.input_pipeline.tf_data import keep_ahead, map_graph
from pipelines.sources.source import Examples
from zoo.preprocessing import Preprocessing, decode
from zoo.tasks import Task


@dataclass(frozen=True)
class TrainStream:
    """Batches without end.

    Args:
        dataset: Yields (uint8 [B, S, S, 3], labels, weights), every batch of the same
            size: float32 [B, C] one-hot and float32 [B], or dictionaries of such for
            named tasks; see `pipelines.input_pipeline.label_tensors`.
        steps_per_epoch: Batches an epoch: the fewest that hold a pass.
    """

    dataset: Any
    steps_per_epoch: int


def build_train_stream(
    examples: Examples,
    order: SampleOrder,
    config: InputConfig,
    augment: AugmentConfig,
    *,
    tasks: Sequence[Task],
    class_weights: Mapping[str, npt.NDArray[np.float32]] | None = None,
    first_epoch: int = 0,
    endless: bool = True,
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
        order: Order of the images and size of a batch; its seed is the augmentation's too.
        config: Preprocessing, and the memory that decoded images may take.
        augment: Augmentation policy.
        tasks: What is learned.
        class_weights: By a task's name, float32 [C], what an image of each class
            counts; left out, each counts 1.
        first_epoch: Epoch at which the stream starts.
        endless: Whether one iteration never ends. If False, each iteration over the
            dataset is one epoch: the first one `first_epoch`, the next one that after it.
        images: What `decode_images` returned for these examples, so that several
            streams share it; None calls it.
    """
    import tensorflow as tf

    images = images or decode_images(examples, config.cache_mib)
    augmenter = _augmenter(examples, config.preprocessing, augment, order.seed, images)
    labels_of = build_labels(examples, tasks)
    weights_of = build_weights(examples, tasks, class_weights or {})

    def finish(images: Any, keys: SampleKeys, views: Views) -> tuple[Any, Any, Any]:
        weights = tf.nest.map_structure(lambda w: w * keys.weights, weights_of(keys.image_indices))
        return augmenter.mix(images, labels_of(keys.image_indices), weights, views)

    keys = map_graph(_number_steps(order, first_epoch, endless), order.batch_keys)
    rendered = _render(keys, augmenter, _reader(examples, images), images, order.batch_size)
    dataset = map_graph(rendered, finish, parallel=True)
    return TrainStream(keep_ahead(dataset), order.steps_per_epoch)


def _number_steps(order: SampleOrder, first_epoch: int, endless: bool) -> Any:
    """Returns a dataset of the steps' numbers, int64 []: without end, or an epoch an iteration."""
    import tensorflow as tf

    num_steps = order.steps_per_epoch
    if endless:
        last_step = np.iinfo(np.int64).max // order.batch_size
        return tf.data.Dataset.range(first_epoch * num_steps, last_step)
    epochs = itertools.count(first_epoch)

    def next_epoch() -> Iterator[int]:
        yield next(epochs)

    epoch = tf.data.Dataset.from_generator(next_epoch, output_signature=tf.TensorSpec((), tf.int64))
    steps = epoch.flat_map(lambda e: tf.data.Dataset.range(e * num_steps, (e + 1) * num_steps))
    return steps.apply(tf.data.experimental.assert_cardinality(num_steps))


def _render(
    keys: Any, augmenter: Augmenter, fetch: Any, images: DecodedImages | None, batch: int
) -> Any:
    """Turns batches of SampleKeys into (uint8 [B, S, S, 3], SampleKeys, Views)."""
    import tensorflow as tf

    renderer = augmenter.renderer
    if images is not None and augmenter.moves and isinstance(renderer, HostRenderer):
        # A batch a call, straight from the decoded images.
        shapes, pick = tf.constant(images.shapes), images.pick

        def render_batch(keys: SampleKeys) -> tuple[Any, SampleKeys, Views]:
            views = augmenter.sample(keys.pass_indices, keys.sample_indices)
            sides = tf.gather(shapes, keys.image_indices)
            return renderer.render_picked(pick, keys.image_indices, sides, views), keys, views

        return map_graph(keys, render_batch, parallel=True)

    def draw(keys: SampleKeys) -> tuple[SampleKeys, Views]:
        return keys, augmenter.sample(keys.pass_indices, keys.sample_indices)

    def render_image(keys: SampleKeys, views: Views) -> tuple[Any, SampleKeys, Views]:
        one = tf.nest.map_structure(lambda part: part[tf.newaxis], views)
        return augmenter.render(fetch(keys.image_indices), one)[0], keys, views

    drawn = map_graph(keys, draw).unbatch()
    rendered = map_graph(drawn, render_image, parallel=True)
    return rendered.batch(batch, drop_remainder=True)


def _augmenter(
    examples: Examples,
    preprocessing: Preprocessing,
    augment: AugmentConfig,
    seed: int,
    images: DecodedImages | None,
) -> Augmenter:
    axes = fit_color_axes(examples, images) if needs_axes(augment) else None
    return Augmenter(augment, preprocessing, seed, axes)


def build_views_dataset(
    examples: Examples,
    preprocessing: Preprocessing,
    augment: AugmentConfig,
    *,
    seed: int,
    views: Sequence[int],
    batch_size: int,
    image_keys: npt.NDArray[np.int64] | None = None,
    axes: npt.NDArray[np.float32] | None = None,
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
        image_keys: int64 [N], what stands for each image in its key; None counts them
            from 0, as the training stream does.
        axes: What `fit_color_axes` returned for the training split, if the policy has
            `pca_noise`; None fits them on these examples.
        images: What `decode_images` returned for these examples; None reads and
            decodes each image when its turn comes.

    Returns:
        A finite `tf.data.Dataset` of uint8 [b, S, S, 3]: all views of the first
        image, then those of the second, and so on.
    """
    import tensorflow as tf

    fetch = _reader(examples, images)
    axes = fit_color_axes(examples, images) if needs_axes(augment) and axes is None else axes
    augmenter = Augmenter(augment, preprocessing, seed, axes)
    counted = np.arange(len(examples)) if image_keys is None else image_keys
    keys = tf.constant(counted, tf.int64)
    drawn = tf.constant([view for view in views if view], tf.int64)
    order = np.argsort(np.argsort([view == 0 for view in views], kind="stable"))

    def render(index: Any) -> Any:
        image = fetch(index)
        found = [preprocessing.fit_image(image)[tf.newaxis]] * list(views).count(0)
        if len(drawn):
            sampled = augmenter.sample(drawn, tf.fill([len(drawn)], keys[index]))
            found.insert(0, augmenter.render(image, sampled))
        return tf.gather(tf.concat(found, axis=0), order)

    indices = tf.data.Dataset.range(len(examples))
    rendered = map_graph(indices, render, parallel=True).unbatch()
    return keep_ahead(rendered.batch(batch_size))


def fit_color_axes(
    examples: Examples, images: DecodedImages | None = None, *, max_images: int = 1000
) -> npt.NDArray[np.float32]:
    """Fits what `pca_noise` varies on a split, the training split's as a rule.

    Args:
        examples: The split.
        images: What `decode_images` returned for it; None decodes what is needed.
        max_images: How many images are looked at, taken evenly.

    Returns:
        float32 [3, 3], as `fit_axes` returns it.
    """
    import tensorflow as tf

    chosen = np.linspace(0, len(examples) - 1, min(max_images, len(examples))).astype(np.int64)
    if images is not None:
        return fit_axes(images.pick(chosen))
    with tf.device("CPU"):
        return fit_axes(decode(tf.constant(examples.read(int(i)))).numpy() for i in chosen)


def build_eval_dataset(
    examples: Examples,
    preprocessing: Preprocessing,
    batch_size: int,
    tasks: Sequence[Task],
    *,
    cache_mib: int = 0,
) -> Any:
    """Builds the input of validation and test: in order, nothing random.

    Args:
        examples: Any split.
        preprocessing: The transform.
        batch_size: Images a batch.
        tasks: What is asked.
        cache_mib: As `build_image_dataset` takes it.

    Returns:
        A finite `tf.data.Dataset` of (uint8 [B, S, S, 3], labels): float32 [B, C], or a
        dictionary of such for named tasks.
    """
    import tensorflow as tf

    images = build_image_dataset(examples, preprocessing, batch_size, cache_mib=cache_mib)
    indices = tf.data.Dataset.range(len(examples)).batch(batch_size)
    labels = map_graph(indices, build_labels(examples, tasks))
    return keep_ahead(tf.data.Dataset.zip(images, labels))


def build_image_dataset(
    examples: Examples, preprocessing: Preprocessing, batch_size: int, *, cache_mib: int = 0
) -> Any:
    """Builds images without labels: in order, nothing random.

    Args:
        examples: Any split.
        preprocessing: The transform.
        batch_size: Images a batch.
        cache_mib: Memory, in MiB, that the fitted images may take, at 3 × S² bytes
            each. If all of them fit, the first pass keeps them for those after it;
            else each pass decodes anew.

    Returns:
        A finite `tf.data.Dataset` of uint8 [B, S, S, 3].
    """
    import tensorflow as tf

    fetch = _reader(examples, None)
    indices = tf.data.Dataset.range(len(examples))
    fitted = map_graph(indices, lambda i: preprocessing.fit_image(fetch(i)), parallel=True)
    images = fitted.batch(batch_size)
    if len(examples) * 3 * preprocessing.size**2 <= cache_mib * 2**20:
        images = images.cache()
    return keep_ahead(images)


def _reader(examples: Examples, images: DecodedImages | None) -> Any:
    """Returns a graph function from an index to an image, read and decoded there if need be."""
    import tensorflow as tf

    if images is not None:
        return images.fetch
    with tf.device("CPU"):
        if examples.files is not None:
            # As bytes, since a file's name need not be valid UTF-8.
            paths = tf.constant([os.fsencode(path) for path in examples.files])
            return lambda index: decode(tf.io.read_file(paths[index]))
        encoded = tf.constant(examples.encoded)
        return lambda index: decode(encoded[index])
