"""MixUp and CutMix against their formulas; loss of mixed labels against the mixed losses."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from pipelines.augment.mixing import CutMix, MixUp, compute_partner_fraction, mix_labels
from tests.support.rendering import (
    RENDERERS,
    build_plan,
    build_plan_renderer,
    build_texture,
    sample_operations,
    sample_views,
)

SIZE, COUNT = 32, 8
both = pytest.mark.parametrize("renderer", RENDERERS)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.stack([build_texture(SIZE, SIZE, seed=seed) for seed in range(COUNT)])


@both
def test_mixup_blends_neighbors(images: np.ndarray, renderer: str) -> None:
    plan = build_plan(MixUp(alpha=1), size=SIZE)
    (found,) = sample_operations(plan, COUNT)
    fraction = found.parameters["partner_fraction"][:, None, None, None]
    mixed = build_plan_renderer(plan, renderer).mix(
        tf.constant(images), sample_views(plan, COUNT).mixing[0]
    )
    expected = (1 - fraction) * images + fraction * np.roll(images, -1, axis=0)
    assert np.abs(mixed - expected).max() <= 1
    assert len(np.unique(fraction)) == COUNT


@both
def test_cutmix_pastes_a_rectangle_and_mixes_labels_by_area(
    images: np.ndarray, renderer: str
) -> None:
    plan = build_plan(CutMix(), size=SIZE)
    (found,) = sample_operations(plan, COUNT)
    (parameters,) = sample_views(plan, COUNT).mixing
    mixed = np.asarray(build_plan_renderer(plan, renderer).mix(tf.constant(images), parameters))
    fraction = np.asarray(compute_partner_fraction(parameters, SIZE))
    partners = np.roll(images, -1, axis=0)
    for i in range(COUNT):
        top, left, height, width = (
            int(found.parameters[key][i]) for key in ("top", "left", "height", "width")
        )
        expected = images[i].copy()
        rows, columns = slice(top, top + height), slice(left, left + width)
        expected[rows, columns] = partners[i, rows, columns]
        np.testing.assert_array_equal(mixed[i], expected)
        assert fraction[i] == pytest.approx(height * width / SIZE**2)


def test_cutmix_samples_squares_centered_anywhere_with_beta_areas() -> None:
    size = 1024
    (found,) = sample_operations(build_plan(CutMix(alpha=2), size=size), 4000)
    top, left, height, width = (found.parameters[k] for k in ("top", "left", "height", "width"))
    assert ((top >= 0) & (left >= 0) & (top + height <= size) & (left + width <= size)).all()
    # A square that the border did not clip has the sampled area.
    whole = (top > 0) & (left > 0) & (top + height < size) & (left + width < size)
    assert whole.sum() > 500
    np.testing.assert_array_equal(height[whole], width[whole])
    # Where one side is not clipped, the larger side gives the sampled area.
    one_whole = ((top > 0) & (top + height < size)) | ((left > 0) & (left + width < size))
    area = (np.maximum(height, width) / size) ** 2
    small = one_whole & (area < 0.2)
    expected = stats.beta(2, 2)
    assert area[small].min() < 0.03
    small_probability = expected.cdf(0.2)
    assert abs(small.mean() - small_probability) < 5 * np.sqrt(
        small_probability * (1 - small_probability) / 4000
    )


def test_loss_of_mixed_labels_is_the_mixture_of_both_losses() -> None:
    rng = np.random.default_rng(0)
    labels = np.eye(3, dtype=np.float32)[rng.integers(0, 3, COUNT)]
    weights = rng.uniform(0.5, 3, COUNT).astype(np.float32)
    fraction = rng.uniform(0, 1, COUNT).astype(np.float32)
    logits = rng.normal(0, 2, (COUNT, 3)).astype(np.float32)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, reduction=None)
    mixed, mixed_weights = mix_labels(
        tf.constant(labels), tf.constant(weights), tf.constant(fraction)
    )
    np.testing.assert_allclose(np.sum(mixed, axis=1), 1, rtol=1e-6)
    found = np.asarray(loss(mixed, logits)) * np.asarray(mixed_weights)
    partners = np.roll(np.arange(COUNT), -1)
    own = weights * np.asarray(loss(labels, logits))
    other = weights[partners] * np.asarray(loss(labels[partners], logits))
    np.testing.assert_allclose(found, (1 - fraction) * own + fraction * other, rtol=1e-5)


def test_labels_of_images_with_zero_weight_stay_finite() -> None:
    labels, zeros = tf.one_hot([0, 1], 2), tf.zeros(2)
    mixed, weights = mix_labels(labels, zeros, tf.constant([0.3, 0.0]))
    assert np.isfinite(mixed).all()
    np.testing.assert_array_equal(weights, zeros)


def test_labels_of_any_shape_are_mixed() -> None:
    targets = tf.constant([[1.0], [3.0]])
    mixed, _ = mix_labels(targets, tf.ones(2), tf.constant([0.25, 0.5]))
    np.testing.assert_allclose(mixed, [[1.5], [2.0]])
