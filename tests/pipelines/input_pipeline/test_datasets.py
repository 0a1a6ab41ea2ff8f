"""Image datasets: batches are a function of (seed, pass, sample), whatever the parallelism."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipelines.augment.augmenter import Augmenter
from pipelines.augment.policies import AugmentConfig
from pipelines.input_pipeline.config import InputConfig
from pipelines.input_pipeline.datasets import (
    build_eval_dataset,
    build_train_stream,
    build_views_dataset,
)
from pipelines.input_pipeline.decoded_images import decode_images
from pipelines.input_pipeline.order import build_order
from pipelines.sources.source import Examples
from tests.support.noise_images import build_noise_examples, encode_png
from zoo.decoding.image_decoder import ImageDecoder
from zoo.preprocessing import Preprocessing
from zoo.tasks import Task, classification

COUNT = 20
TASKS = classification("abcd")
NO_AUGMENT = AugmentConfig(policy="none")
# Every stage, every kind of random draw, and operations on whole batches.
EVERYTHING = "strong|median_blur|bilateral_blur|hue|choose(1, mixup, cutmix)"
RENDERERS = ("opencv", "tensorflow")


@pytest.fixture(scope="module")
def examples() -> Examples:
    return build_noise_examples(COUNT, 4)


def _stream(examples: Examples, **options: Any) -> Any:
    names = ("seed", "oversample", "whole_passes", "num_replicas")
    settings = {name: options.pop(name) for name in names if name in options}
    order = build_order(examples.labels, options.pop("batch_size", 6), **{"seed": 1, **settings})
    config = InputConfig(size=16, cache_mib=options.pop("cache_mib", 64))
    augment = options.pop("augment", AugmentConfig())
    options.setdefault("tasks", TASKS)
    return build_train_stream(examples, order, config, augment, **options)


def _take(stream: Any, steps: int) -> list[np.ndarray]:
    return [images.numpy() for images, _, _ in stream.dataset.take(steps)]


def _same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def augmented(examples: Examples) -> list[np.ndarray]:
    """Three epochs of every augmentation, each batch computed after the other from the files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.input_pipeline.tf_data.num_cores", lambda: 1)
        return _take(_stream(examples, augment=AugmentConfig(policy=EVERYTHING), cache_mib=0), 12)


def test_stream_repeats_exactly_and_differs_by_seed(examples: Examples) -> None:
    first = _take(_stream(examples), 8)
    assert _same(first, _take(_stream(examples), 8))
    assert not _same(first, _take(_stream(examples, seed=2), 8))


@pytest.mark.train
@pytest.mark.parametrize(
    ("cache_mib", "policy", "renderer"),
    # Each renderer and each way to read images once, or all of their combinations.
    list(itertools.product([0, 64], ["photo", EVERYTHING], RENDERERS))
    if os.environ.get("ZOO_ALL_ROWS")
    else [(0, EVERYTHING, "opencv"), (64, EVERYTHING, "tensorflow")],
)
def test_stream_does_not_depend_on_the_number_of_parallel_calls(
    examples: Examples,
    augmented: list[np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    renderer: str,
    policy: str,
    cache_mib: int,
) -> None:
    augment = AugmentConfig(policy=policy, renderer=renderer)
    is_known = (cache_mib, policy, renderer) == (0, EVERYTHING, "opencv")
    streams = [augmented[:8]] if is_known else []
    for calls in (8,) if is_known else (1, 8):
        monkeypatch.setattr("pipelines.input_pipeline.tf_data.num_cores", lambda calls=calls: calls)
        streams.append(_take(_stream(examples, augment=augment, cache_mib=cache_mib), 8))
    assert _same(*streams)


@pytest.mark.train
def test_stream_is_the_same_with_and_without_decoded_images(
    examples: Examples, augmented: list[np.ndarray]
) -> None:
    shared = decode_images(examples, ImageDecoder(), 64)
    assert shared is not None
    augment = AugmentConfig(policy=EVERYTHING)
    assert _same(augmented[:4], _take(_stream(examples, augment=augment, cache_mib=64), 4))
    stream = _stream(examples, augment=augment, cache_mib=0, decoded=shared)
    for _ in range(2):
        assert _same(augmented[:4], _take(stream, 4))


@pytest.mark.train
@pytest.mark.parametrize("policy", ["none", "photo", EVERYTHING])
def test_stream_from_a_later_epoch_continues_the_whole_one(
    examples: Examples, augmented: list[np.ndarray], policy: str
) -> None:
    # Epochs end within passes: 4 batches of 6 are one pass of 20 and 4 more.
    augment = AugmentConfig(policy=policy)
    late = _stream(examples, augment=augment, first_epoch=2)
    assert late.steps_per_epoch == 4
    whole = augmented if policy == EVERYTHING else _take(_stream(examples, augment=augment), 12)
    assert _same(whole[8:], _take(late, 4))


def test_stream_shows_every_image_once_per_pass(examples: Examples) -> None:
    plain = np.concatenate(_take(_stream(examples, augment=NO_AUGMENT, batch_size=5), 8))
    expected = {Preprocessing(size=16)(e).numpy().tobytes() for e in examples.encoded or ()}
    orders = []
    for start in (0, COUNT):
        seen = [image.tobytes() for image in plain[start : start + COUNT]]
        assert set(seen) == expected
        orders.append(seen)
    assert orders[0] != orders[1], "each pass has an order of its own"


def test_stream_labels_and_weights_belong_to_their_images(examples: Examples) -> None:
    weights = np.array([1, 2, 3, 4], np.float32)
    stream = _stream(examples, augment=NO_AUGMENT, class_weights={"label": weights})
    transform = Preprocessing(size=16)
    label_of = {
        transform(e).numpy().tobytes(): label
        for e, label in zip(examples.encoded or (), examples.labels, strict=True)
    }
    for images, labels, sample_weights in stream.dataset.take(4):
        expected = [label_of[image.tobytes()] for image in images.numpy()]
        np.testing.assert_array_equal(np.argmax(labels, axis=1), expected)
        np.testing.assert_array_equal(sample_weights, weights[expected])


def test_whole_passes_weight_every_image_equally_in_every_epoch(examples: Examples) -> None:
    factors = np.array([1.0, 2.0, 3.0, 4.0], np.float32)
    stream = _stream(
        examples, augment=NO_AUGMENT, class_weights={"label": factors}, whole_passes=True
    )
    assert stream.steps_per_epoch == 4
    plain = [Preprocessing(size=16)(tf.constant(e)).numpy() for e in examples.encoded]
    batches = list(stream.dataset.take(8).as_numpy_iterator())
    for epoch in (batches[:4], batches[4:]):
        images, _, weights = (np.concatenate(parts) for parts in zip(*epoch, strict=True))
        counts = [
            sum(w for i, w in zip(images, weights, strict=True) if (i == p).all()) for p in plain
        ]
        # 24 places for 20 images: what Keras takes the mean over is 24.
        np.testing.assert_allclose(
            np.array(counts) / 24, factors[np.arange(20) % 4] / 20, rtol=1e-6
        )
        assert (weights == 0).sum() == 4


def test_labels_of_every_task_are_blended_like_the_images(examples: Examples) -> None:
    numbers = np.arange(COUNT).astype(np.float32)
    tags = np.stack([numbers % 2, numbers % 3 == 0], axis=1).astype(np.float32)
    targets = {"letter": examples.labels, "tags": tags, "size": numbers}
    tasks = (
        Task("letter", "single_label", class_names=tuple("abcd")),
        Task("tags", "multi_label", class_names=("odd", "third")),
        Task("size", "regression", mean=10.0, std=4.0),
    )
    options: dict[str, Any] = {"augment": AugmentConfig(policy="mixup")}
    factors = np.array([1.0, 2.0, 3.0, 4.0], np.float32)
    plain = _stream(examples, class_weights={"label": factors}, **options)
    several = _stream(
        replace(examples, targets=targets),
        tasks=tasks,
        class_weights={"letter": factors},
        **options,
    )
    pairs = zip(plain.dataset.take(4), several.dataset.take(4), strict=True)
    for (images, one_hot, weights), (same_images, labels, every_weight) in pairs:
        np.testing.assert_array_equal(images, same_images)
        np.testing.assert_array_equal(one_hot, labels["letter"])
        np.testing.assert_array_equal(weights, every_weight["letter"])
        np.testing.assert_allclose(every_weight["size"], 1, rtol=1e-6)
        # Neither odd nor even: it is partly both.
        odd = labels["tags"].numpy()[:, 0]
        assert ((odd > 0) & (odd < 1)).any()
    # Unblended, a number is what the mean and deviation make of it.
    _, labels, _ = next(
        iter(_stream(replace(examples, targets=targets), tasks=tasks, augment=NO_AUGMENT).dataset)
    )
    size = labels["size"].numpy()[:, 0] * 4 + 10
    np.testing.assert_allclose(size % 4, labels["letter"].numpy().argmax(axis=1), atol=1e-5)
    np.testing.assert_allclose(size % 2, labels["tags"].numpy()[:, 0], atol=1e-5)


@pytest.mark.parametrize(("replicas", "batch"), [(1, 6), (2, 6), (4, 4)])
def test_stream_batches_have_one_size_that_devices_share_evenly(
    examples: Examples, replicas: int, batch: int
) -> None:
    sizes = {len(images) for images in _take(_stream(examples, num_replicas=replicas), 9)}
    assert sizes == {batch}


def _views(examples: Examples, **options: Any) -> np.ndarray:
    transform = InputConfig(size=16).preprocessing
    options = {"seed": 1, "batch_size": COUNT, **options}
    dataset = build_views_dataset(examples, transform, AugmentConfig(), **options)
    return np.concatenate(list(dataset.as_numpy_iterator()))


def test_view_equals_the_stream_in_the_pass_of_the_same_number(examples: Examples) -> None:
    stream = _stream(examples, batch_size=COUNT)
    for view, batch in list(enumerate(_take(stream, 3)))[1:]:
        views = _views(examples, views=[view])
        assert {v.tobytes() for v in views} == {v.tobytes() for v in batch}


@pytest.mark.train
def test_views_depend_on_image_and_key_alone(examples: Examples) -> None:
    together = _views(examples, views=[0, 2, 3])
    assert together.shape == (3 * COUNT, 16, 16, 3)
    for position, view in enumerate((0, 2, 3)):
        alone = _views(examples, views=[view], batch_size=7)
        np.testing.assert_array_equal(alone, together[position::3])
    some = np.array([11, 4])
    numbered = _views(examples.take(some), views=[0, 2, 3], image_keys=some)
    np.testing.assert_array_equal(
        numbered, together.reshape(COUNT, 3, 16, 16, 3)[some].reshape(numbered.shape)
    )
    for image, plain in zip(examples.encoded or (), together[::3], strict=True):
        np.testing.assert_array_equal(plain, InputConfig(size=16).preprocessing(image))


@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
@pytest.mark.parametrize("renderer", RENDERERS)
def test_augmentation_without_effect_is_the_validation_transform(
    examples: Examples, fit: str, renderer: str
) -> None:
    transform = Preprocessing(size=16, fit=fit)
    image = tf.io.decode_png((examples.encoded or ())[3])
    for policy in ("none", "brightness(0)"):
        augmenter = Augmenter(AugmentConfig(policy=policy, renderer=renderer), transform, seed=1)
        views = augmenter.sample(tf.zeros(2, tf.int64), tf.range(2, dtype=tf.int64))
        for view in augmenter.render(image, views):
            np.testing.assert_array_equal(view, transform.fit_image(image))


def test_eval_dataset_is_in_order_and_complete(examples: Examples) -> None:
    transform = Preprocessing(size=16)
    batches = list(build_eval_dataset(examples, transform, 8, TASKS))
    assert [len(images) for images, _ in batches] == [8, 8, 4]
    images = np.concatenate([images for images, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    np.testing.assert_array_equal(labels.argmax(axis=1), examples.labels)
    expected = [transform(encoded) for encoded in examples.encoded or ()]
    np.testing.assert_array_equal(images, np.stack(expected))


def test_eval_dataset_is_cached_only_if_it_fits(tmp_path: Path) -> None:
    # A file is removed after the first iteration: the second one fails if it reads it.
    rng = np.random.default_rng(1)
    # 64 × 64 pixels of 3 bytes are 12 KiB: 85 of them fit 1 MiB.
    for count, is_cached in ((85, True), (86, False)):
        folder = tmp_path / str(count)
        folder.mkdir()
        files = tuple(folder / f"{index}.png" for index in range(count))
        for file in files:
            file.write_bytes(encode_png(rng.integers(0, 256, (9, 9, 3)).astype(np.uint8)))
        labels = np.arange(count) % 4
        some = Examples(tuple(map(str, files)), labels, files=files, targets={"label": labels})
        dataset = build_eval_dataset(some, Preprocessing(size=64), 8, TASKS, cache_mib=1)
        first = list(dataset.as_numpy_iterator())
        files[-1].unlink()
        if is_cached:
            again = list(dataset.as_numpy_iterator())
            assert all(_same(list(a), list(b)) for a, b in zip(first, again, strict=True))
        else:
            with pytest.raises(tf.errors.NotFoundError, match=r"85\.png"):
                list(dataset)
