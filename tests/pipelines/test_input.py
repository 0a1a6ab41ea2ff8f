"""Input: what comes out is a function of (seed, pass, index), whatever the parallelism."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines.augment.geometry import AugmentConfig, render_augmented
from pipelines.input import InputConfig, build_eval_dataset, build_train_stream
from pipelines.sources import Examples
from zoo.preprocessing import Preprocessing

COUNT = 20
NO_AUGMENT = AugmentConfig(flip=0, crop=1, aspect=1)


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def examples() -> Examples:
    """Twenty images that differ in every pixel and in size."""
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (16 + i, 24, 3)).astype(np.uint8) for i in range(COUNT)]
    return Examples(
        names=tuple(f"{i}" for i in range(COUNT)),
        labels=np.arange(COUNT) % 4,
        encoded=tuple(_png(p) for p in pixels),
    )


def _stream(examples: Examples, **options: Any) -> Any:
    config = InputConfig(
        size=16, batch_size=options.pop("batch_size", 6), cache_mib=options.pop("cache_mib", 64)
    )
    augment = options.pop("augment", AugmentConfig())
    options.setdefault("class_weights", np.ones(4, np.float32))
    return build_train_stream(examples, config, augment, **{"seed": 1, **options})


def _take(stream: Any, steps: int) -> list[np.ndarray]:
    return [images.numpy() for images, _, _ in stream.dataset.take(steps)]


def _same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_stream_repeats_exactly_and_differs_by_seed(examples: Examples) -> None:
    first = _take(_stream(examples), 8)
    assert _same(first, _take(_stream(examples), 8))
    assert not _same(first, _take(_stream(examples, seed=2), 8))


def test_stream_is_the_same_with_one_call_and_with_eight(
    examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = []
    for calls in (1, 8):
        monkeypatch.setattr(tf.data, "AUTOTUNE", calls)
        streams.append(_take(_stream(examples), 8))
    assert _same(*streams)


@pytest.mark.parametrize("cache_mib", [0, 64])
def test_stream_is_the_same_cached_and_not(examples: Examples, cache_mib: int) -> None:
    assert _same(_take(_stream(examples, cache_mib=cache_mib), 4), _take(_stream(examples), 4))


def test_stream_taken_up_at_an_epoch_goes_on_as_the_whole_one(examples: Examples) -> None:
    whole = _stream(examples)
    late = _stream(examples, first_epoch=2)
    steps = whole.steps_per_epoch
    assert steps == 4
    assert _same(_take(whole, 3 * steps)[2 * steps :], _take(late, steps))


def test_stream_shows_every_image_once_a_pass(examples: Examples) -> None:
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
    stream = _stream(examples, augment=NO_AUGMENT, class_weights=weights)
    transform = Preprocessing(size=16)
    label_of = {
        transform(e).numpy().tobytes(): label
        for e, label in zip(examples.encoded or (), examples.labels, strict=True)
    }
    for images, labels, sample_weights in stream.dataset.take(4):
        expected = [label_of[image.tobytes()] for image in images.numpy()]
        np.testing.assert_array_equal(np.argmax(labels, axis=1), expected)
        np.testing.assert_array_equal(sample_weights, weights[expected])


@pytest.mark.parametrize(("replicas", "batch"), [(1, 6), (2, 6), (4, 4)])
def test_stream_batches_are_all_of_one_size_that_devices_share(
    examples: Examples, replicas: int, batch: int
) -> None:
    sizes = {len(images) for images in _take(_stream(examples, num_replicas=replicas), 9)}
    assert sizes == {batch}


def test_augmentation_of_nothing_is_the_validation_transform(examples: Examples) -> None:
    for fit in ("crop", "stretch", "pad"):
        transform = Preprocessing(size=16, fit=fit)
        image = tf.io.decode_png((examples.encoded or ())[3])
        view = render_augmented(image, transform, NO_AUGMENT, tf.constant([1, 2, 3], tf.int64))
        np.testing.assert_array_equal(view, transform.fit_image(image))


def _gradient(height: int, width: int) -> Any:
    y, x = np.mgrid[:height, :width]
    return tf.constant(
        np.stack([255 * y / (height - 1), 255 * x / (width - 1), 0 * x], -1).astype(np.uint8)
    )


def test_draws_have_the_probability_and_range_of_the_recipe() -> None:
    # On a picture whose pixels say where they are, corners tell what was drawn.
    config = AugmentConfig(flip=0.3, crop=0.5, aspect=1.5)
    transform = Preprocessing(size=32)
    keys = tf.stack([tf.fill([2000], 7), tf.range(2000), tf.range(2000) % 50], axis=1)
    image = _gradient(256, 256)
    views = (
        tf.map_fn(
            lambda key: render_augmented(image, transform, config, key),
            tf.cast(keys, tf.int64),
            fn_output_signature=tf.TensorSpec((32, 32, 3), tf.uint8),
        )
        .numpy()
        .astype(float)
        / 255
    )
    top, bottom = views[:, 0, 16, 0], views[:, -1, 16, 0]
    left, right = views[:, 16, 0, 1], views[:, 16, -1, 1]
    flipped = left > right
    # 2,000 draws of probability 0.3: four standard deviations are 0.041.
    assert abs(flipped.mean() - 0.3) < 0.041
    height = (bottom - top) * 32 / 31
    width = np.abs(right - left) * 32 / 31
    assert height.max() <= 1.02
    assert width.max() <= 1.02
    area = height * width
    assert area.min() == pytest.approx(0.5 / 1.5**0.5, abs=0.1)
    ratio = height / width
    assert ratio.max() == pytest.approx(1.5, abs=0.08)
    assert ratio.min() == pytest.approx(1 / 1.5, abs=0.08)
    assert len({view.tobytes() for view in views}) == 2000, "no two keys draw the same"


def test_shift_moves_by_whole_pixels_and_shows_black_beyond() -> None:
    config = AugmentConfig(flip=0, crop=1, aspect=1, shift=0.25)
    image = _gradient(16, 16)
    plain = image.numpy()
    seen = set()
    for index in range(300):
        view = render_augmented(
            image, Preprocessing(size=16), config, tf.constant([0, 0, index], tf.int64)
        ).numpy()
        # Blue is 0 everywhere, so a black corner is told from content by its position.
        matches = [
            (dy, dx)
            for dy in range(-4, 5)
            for dx in range(-4, 5)
            if np.array_equal(view, _moved(plain, dy, dx))
        ]
        assert len(matches) == 1
        seen.update(matches)
    assert {dy for dy, _ in seen} == {dx for _, dx in seen} == set(range(-4, 5))


def _moved(image: np.ndarray, dy: int, dx: int) -> np.ndarray:
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)))
    return padded[4 + dy : 20 + dy, 4 + dx : 20 + dx]


def test_eval_dataset_is_in_order_and_whole(examples: Examples) -> None:
    transform = Preprocessing(size=16)
    batches = list(build_eval_dataset(examples, transform, 8, 4))
    assert [len(images) for images, _ in batches] == [8, 8, 4]
    images = np.concatenate([images for images, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    np.testing.assert_array_equal(labels.argmax(axis=1), examples.labels)
    expected = [transform(encoded) for encoded in examples.encoded or ()]
    np.testing.assert_array_equal(images, np.stack(expected))
