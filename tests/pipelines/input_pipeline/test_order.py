"""Sampling: every class as often, every image of a class as often, and nothing by chance."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.augment.policies import AugmentConfig
from pipelines.input_pipeline.config import InputConfig
from pipelines.input_pipeline.datasets import build_train_stream
from pipelines.input_pipeline.order import build_order, build_oversampling_map
from pipelines.sources.source import Examples
from tests.pipelines.input_pipeline.test_datasets import NO_AUGMENT, _png
from zoo.tasks import classification

LABELS = np.array([0] * 7 + [1] * 3 + [2])
TASKS = classification("abc")


def _pass(labels: npt.NDArray[np.int64], number: int, seed: int = 1) -> list[int]:
    """The image of each sample of a pass."""
    import tensorflow as tf

    oversampling = build_oversampling_map(labels, seed=seed)
    samples = tf.range(oversampling.num_samples, dtype=tf.int64)
    images = oversampling.image_indices(samples, tf.fill(samples.shape, np.int64(number)))
    return [int(index) for index in images]


@settings(max_examples=15)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(0, 3))
def test_every_class_comes_as_often_and_its_images_almost(given: list[int], number: int) -> None:
    labels = np.array(given, np.int64)
    shown = Counter(_pass(labels, number))
    largest = max(Counter(given).values())
    for label in set(given):
        times = [shown[i] for i in range(len(given)) if given[i] == label]
        assert sum(times) == largest
        assert max(times) - min(times) <= 1
        assert min(times) >= 1
    order = build_order(labels, 4, seed=1, oversample="balanced")
    assert order.num_samples == largest * len(set(given))


def test_passes_draw_other_images_and_repeat() -> None:
    passes = [Counter(_pass(LABELS, number)) for number in range(12)]
    assert _pass(LABELS, 3) == _pass(LABELS, 3)
    assert _pass(LABELS, 3) != _pass(LABELS, 3, seed=2)
    # Seven places for three images: one of them comes a third time, and not always the same.
    thrice = Counter(i for shown in passes for i in (7, 8, 9) if shown[i] == 3)
    assert sum(thrice.values()) == 12
    assert len(thrice) > 1
    assert all(shown[10] == 7 for shown in passes), "the only image of its class"


def test_without_oversampling_each_image_is_one_sample() -> None:
    order = build_order(LABELS, 4, seed=0)
    assert order.oversampling is None
    assert order.num_samples == 11


@pytest.fixture(scope="module")
def uneven() -> Examples:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (11, 16, 16, 3)).astype(np.uint8)
    return Examples(
        names=tuple(map(str, range(11))),
        labels=LABELS,
        targets={"label": LABELS},
        encoded=tuple(map(_png, pixels)),
        shapes=np.full((11, 2), 16),
    )


def _stream(examples: Examples, **options: Any) -> Any:
    order = build_order(examples.labels, 7, seed=1, oversample="balanced")
    config = InputConfig(size=16)
    return build_train_stream(examples, order, config, NO_AUGMENT, tasks=TASKS, **options)


def test_stream_shows_each_class_as_often_and_resumes_anywhere(uneven: Examples) -> None:
    stream = _stream(uneven)
    assert stream.steps_per_epoch == 3
    batches = list(stream.dataset.take(6).as_numpy_iterator())
    for start in (0, 3):
        counts = sum(labels.sum(axis=0) for _, labels, _ in batches[start : start + 3])
        np.testing.assert_array_equal(counts, [7, 7, 7])
    later = list(_stream(uneven, first_epoch=1).dataset.take(3).as_numpy_iterator())
    for one, other in zip(batches[3:], later, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_image_that_comes_twice_looks_different_each_time(uneven: Examples) -> None:
    order = build_order(LABELS, 21, seed=1, oversample="balanced")
    stream = build_train_stream(uneven, order, InputConfig(size=16), AugmentConfig(), tasks=TASKS)
    images, labels, _ = next(stream.dataset.as_numpy_iterator())
    only = images[labels[:, 2] == 1]
    assert len(only) == 7
    assert len({image.tobytes() for image in only}) == 7
