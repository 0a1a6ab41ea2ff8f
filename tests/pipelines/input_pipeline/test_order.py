"""Sample order: steps per epoch, and oversampling that balances classes and images."""

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
from tests.support.noise_images import encode_png
from zoo.tasks import classification

LABELS = np.array([0] * 7 + [1] * 3 + [2])
TASKS = classification("abc")


def _images_of_pass(labels: npt.NDArray[np.int64], pass_index: int, seed: int = 1) -> list[int]:
    """Returns the image of each sample of a pass."""
    import tensorflow as tf

    oversampling = build_oversampling_map(labels, seed=seed)
    samples = tf.range(oversampling.num_samples, dtype=tf.int64)
    images = oversampling.image_indices(samples, tf.fill(samples.shape, np.int64(pass_index)))
    return [int(index) for index in images]


@settings(max_examples=15)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(0, 3))
def test_oversampling_balances_classes_and_their_images(classes: list[int], index: int) -> None:
    labels = np.array(classes, np.int64)
    shown = Counter(_images_of_pass(labels, index))
    largest = max(Counter(classes).values())
    for label in set(classes):
        times = [shown[i] for i in range(len(classes)) if classes[i] == label]
        assert sum(times) == largest
        assert max(times) - min(times) <= 1
        assert min(times) >= 1
    order = build_order(labels, 4, seed=1, oversample="balanced")
    assert order.num_samples == largest * len(set(classes))


def test_oversampling_draws_other_images_in_each_pass_and_repeats_by_seed() -> None:
    passes = [Counter(_images_of_pass(LABELS, number)) for number in range(12)]
    assert _images_of_pass(LABELS, 3) == _images_of_pass(LABELS, 3)
    assert _images_of_pass(LABELS, 3) != _images_of_pass(LABELS, 3, seed=2)
    # Seven samples of three images: one image occurs a third time, not always the same.
    thrice = Counter(i for shown in passes for i in (7, 8, 9) if shown[i] == 3)
    assert sum(thrice.values()) == 12
    assert len(thrice) > 1
    assert all(shown[10] == 7 for shown in passes), "the only image of its class"


def test_without_oversampling_each_image_is_one_sample() -> None:
    order = build_order(LABELS, 4, seed=0)
    assert order.oversampling is None
    assert order.num_samples == 11


@pytest.mark.train
@given(num_images=st.integers(1, 50), batch_size=st.integers(1, 60), num_replicas=st.integers(1, 9))
def test_steps_per_epoch_are_the_fewest_that_hold_a_pass(
    num_images: int, batch_size: int, num_replicas: int
) -> None:
    labels = np.zeros(num_images, np.int64)
    order = build_order(labels, batch_size, seed=0, num_replicas=num_replicas)
    steps, batch = order.steps_per_epoch, order.batch_size
    assert batch % num_replicas == 0
    assert (steps - 1) * batch < num_images <= steps * batch


@pytest.fixture(scope="module")
def uneven() -> Examples:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (11, 16, 16, 3)).astype(np.uint8)
    return Examples(
        names=tuple(map(str, range(11))),
        labels=LABELS,
        targets={"label": LABELS},
        encoded=tuple(map(encode_png, pixels)),
        shapes=np.full((11, 2), 16),
    )


def _stream(examples: Examples, **options: Any) -> Any:
    order = build_order(examples.labels, 7, seed=1, oversample="balanced")
    config = InputConfig(size=16)
    return build_train_stream(
        examples, order, config, AugmentConfig(policy="none"), tasks=TASKS, **options
    )


def test_oversampled_stream_balances_classes_and_resumes(uneven: Examples) -> None:
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


def test_image_that_occurs_twice_is_augmented_differently(uneven: Examples) -> None:
    order = build_order(LABELS, 21, seed=1, oversample="balanced")
    stream = build_train_stream(uneven, order, InputConfig(size=16), AugmentConfig(), tasks=TASKS)
    images, labels, _ = next(stream.dataset.as_numpy_iterator())
    only = images[labels[:, 2] == 1]
    assert len(only) == 7
    assert len({image.tobytes() for image in only}) == 7
