"""tf.data datasets of images: the training stream, views for features, and evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.augment.augmenter import Augmenter, HostRenderer
from pipelines.augment.plan import ViewParameters
from pipelines.augment.policies import AugmentConfig
from pipelines.input_pipeline.color_axes import fit_color_axes
from pipelines.input_pipeline.config import InputConfig
from pipelines.input_pipeline.decoded_images import (
    DecodedImages,
    build_pair_reader,
    build_reader,
    decode_images,
)
from pipelines.input_pipeline.label_tensors import build_label_lookup, build_weight_lookup
from pipelines.input_pipeline.order import SampleKeys, SampleOrder, build_step_dataset
from pipelines.input_pipeline.tf_data import map_graph, prefetch
from pipelines.sources.source import Examples
from zoo.preprocessing import Preprocessing
from zoo.tasks import Task, unwrap


@dataclass(frozen=True)
class TrainStream:
    """Training batches, epoch after epoch.

    Args:
        dataset: Yields (inputs, labels, sample weights), every batch of the same size:
            uint8 [B, S, S, 3] images or float32 [B, F] features; float32 [B, C] one-hot;
            float32 [B]. Named tasks have dictionaries of labels and weights; see
            `pipelines.input_pipeline.label_tensors`.
        steps_per_epoch: Batches per epoch.
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
    decoded: DecodedImages | None = None,
) -> TrainStream:
    """Builds the shuffled, augmented training stream.

    Passes follow each other without a gap, and a batch may hold the end of one and the
    start of the next: each image (with oversampling, each class) is shown equally often,
    and no batch is smaller than the others, which XLA and mirrored devices need. Each
    batch is a pure function of (seed, pass, sample), whatever the parallelism and the
    epoch at which the stream started.

    Args:
        examples: The training split.
        order: Order of the images and size of a batch; its seed also seeds augmentation.
        config: Preprocessing, and the memory that decoded images may take.
        augment: Augmentation policy.
        tasks: The tasks whose labels the stream yields.
        class_weights: float32 [C] by task name; weight 1 for the tasks left out.
        first_epoch: Epoch at which the stream starts.
        endless: Whether one iteration never ends. If False, each iteration over the
            dataset is one epoch: the first one `first_epoch`, the next one that after it.
        decoded: These examples decoded, for streams that share them; None decodes them
            here if they fit `config.cache_mib`.
    """
    decoder = config.preprocessing.build_decoder(augment.smallest_view)
    decoded = decoded or decode_images(examples, decoder, config.cache_mib)
    axes = fit_color_axes(examples, decoder, decoded) if augment.needs_color_axes else None
    augmenter = Augmenter(augment, config.preprocessing, order.seed, axes)
    labels_of = build_label_lookup(examples, tasks)
    weights_of = build_weight_lookup(examples, tasks, class_weights or {})

    def finish(images: Any, keys: SampleKeys, views: ViewParameters) -> tuple[Any, Any, Any]:
        labels = labels_of(keys.image_indices)
        weights = {name: w * keys.weights for name, w in weights_of(keys.image_indices).items()}
        images, labels, weights = augmenter.mix(images, labels, weights, views)
        return images, unwrap(tasks, labels), unwrap(tasks, weights)

    steps = build_step_dataset(order, first_epoch, endless=endless)
    keys = map_graph(steps, order.batch_keys)
    if (
        decoded is not None
        and augmenter.has_geometry
        and isinstance(augmenter.renderer, HostRenderer)
    ):
        rendered = _render_batches(keys, augmenter, augmenter.renderer, decoded)
    else:
        read = build_reader(examples, decoder, decoded, ahead_mib=0)
        rendered = _render_images(keys, augmenter, read, order.batch_size)
    dataset = map_graph(rendered, finish, parallel=True)
    return TrainStream(prefetch(dataset), order.steps_per_epoch)


def _render_batches(
    keys: Any, augmenter: Augmenter, renderer: HostRenderer, decoded: DecodedImages
) -> Any:
    """Maps batches of SampleKeys to (images, SampleKeys, ViewParameters), one batch per call."""
    import tensorflow as tf

    frames = tf.constant(decoded.frames)  # [N, 4]

    def render(keys: SampleKeys) -> tuple[Any, SampleKeys, ViewParameters]:
        views = augmenter.sample(keys.pass_indices, keys.sample_indices)
        batch_frames = tf.gather(frames, keys.image_indices)
        images = renderer.render_fetched(decoded.pick, keys.image_indices, batch_frames, views)
        return images, keys, views

    return map_graph(keys, render, parallel=True)


def _render_images(keys: Any, augmenter: Augmenter, read: Any, batch_size: int) -> Any:
    """Maps batches of SampleKeys to (images, SampleKeys, ViewParameters), one image per call."""
    import tensorflow as tf

    def draw(keys: SampleKeys) -> tuple[SampleKeys, ViewParameters]:
        return keys, augmenter.sample(keys.pass_indices, keys.sample_indices)

    def render(key: SampleKeys, view: ViewParameters) -> tuple[Any, SampleKeys, ViewParameters]:
        views = tf.nest.map_structure(lambda part: part[tf.newaxis], view)
        image, frame = read(key.image_indices)
        return augmenter.render(image, views, frame)[0], key, view

    drawn = map_graph(keys, draw).unbatch()
    return map_graph(drawn, render, parallel=True).batch(batch_size, drop_remainder=True)


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
) -> Any:
    """Builds a dataset of several views of every image, in order, to extract features from.

    View 0 is the plain image, as validation sees it. Every other view is a pure function
    of (seed, view, image key), independent of the batch size and of which other images
    and views are rendered. An image is decoded once
    for all its views, or twice where augmented ones need more of its pixels.

    Args:
        examples: Any split.
        preprocessing: How images are fitted to the input size.
        augment: Augmentation policy.
        seed: Seed of the augmentation.
        views: View numbers, ≥ 0.
        batch_size: Views per batch, across images; the last batch may be smaller.
        image_keys: int64 [N], keys that augmentation draws from; None takes the indices
            0 to N - 1, as the training stream does.
        axes: float32 [3, 3], from `fit_color_axes` on the training split, for a policy
            with `pca_noise`; None fits them to these examples.

    Returns:
        A finite `tf.data.Dataset` of uint8 [b, S, S, 3]: all views of the first image,
        then those of the second, and so on.
    """
    import tensorflow as tf

    # Without augmented views, or without plain ones, nothing is decoded for them.
    decoder = preprocessing.build_decoder(augment.smallest_view if any(views) else 1.0)
    read = build_pair_reader(examples, preprocessing.decoder if 0 in views else decoder, decoder)
    axes = fit_color_axes(examples, decoder) if augment.needs_color_axes and axes is None else axes
    augmenter = Augmenter(augment, preprocessing, seed, axes)
    keys = tf.constant(np.arange(len(examples)) if image_keys is None else image_keys, tf.int64)
    augmented = tf.constant([view for view in views if view], tf.int64)
    # `render` puts the augmented views before the plain ones; this is the way back.
    positions = np.argsort(np.argsort([view == 0 for view in views], kind="stable"))

    def render(index: Any) -> Any:
        plain, larger = read(index)
        parts = [preprocessing.fit_image(*plain)[tf.newaxis]] * list(views).count(0)
        if len(augmented):
            sampled = augmenter.sample(augmented, tf.fill([len(augmented)], keys[index]))
            image, frame = larger
            parts.insert(0, augmenter.render(image, sampled, frame))
        return tf.gather(tf.concat(parts, axis=0), positions)

    indices = tf.data.Dataset.range(len(examples))
    rendered = map_graph(indices, render, parallel=True).unbatch()
    return prefetch(rendered.batch(batch_size))


def build_eval_dataset(
    examples: Examples,
    preprocessing: Preprocessing,
    batch_size: int,
    tasks: Sequence[Task],
    *,
    cache_mib: int = 0,
) -> Any:
    """Builds a dataset of images and labels for evaluation, in order and without augmentation.

    Args:
        examples: Any split.
        preprocessing: How images are fitted to the input size.
        batch_size: Images per batch; the last batch may be smaller.
        tasks: The tasks whose labels the dataset yields.
        cache_mib: Memory for the fitted images, in MiB; see `build_image_dataset`.

    Returns:
        A finite `tf.data.Dataset` of (uint8 [B, S, S, 3], labels): float32 [B, C], or a
        dictionary of them for named tasks.
    """
    import tensorflow as tf

    images = build_image_dataset(examples, preprocessing, batch_size, cache_mib=cache_mib)
    indices = tf.data.Dataset.range(len(examples)).batch(batch_size)
    labels_of = build_label_lookup(examples, tasks)
    labels = map_graph(indices, lambda index: unwrap(tasks, labels_of(index)))
    return prefetch(tf.data.Dataset.zip(images, labels))


def build_image_dataset(
    examples: Examples, preprocessing: Preprocessing, batch_size: int, *, cache_mib: int = 0
) -> Any:
    """Builds a dataset of images without labels, in order and without augmentation.

    Args:
        examples: Any split.
        preprocessing: How images are fitted to the input size.
        batch_size: Images per batch; the last batch may be smaller.
        cache_mib: Memory for the fitted images, in MiB, at 3 × S² bytes each. If all fit,
            the first iteration keeps them for later ones; otherwise each iteration
            decodes them anew.

    Returns:
        A finite `tf.data.Dataset` of uint8 [B, S, S, 3].
    """
    import tensorflow as tf

    read = build_reader(examples, preprocessing.decoder)
    indices = tf.data.Dataset.range(len(examples))
    fitted = map_graph(indices, lambda i: preprocessing.fit_image(*read(i)), parallel=True)
    images = fitted.batch(batch_size)
    if len(examples) * 3 * preprocessing.size**2 <= cache_mib * 2**20:
        images = images.cache()
    return prefetch(images)
