"""Labels: mixup and cutmix against their formulas, and the loss against the blended losses."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from pipelines.augment.mixing import CutMix, MixUp, beta_quantile, mix_labels, partner_share
from tests.support.rendering import (
    RENDERERS,
    draw,
    plan_of,
    renderer_of,
    sample,
    textured,
)

SIZE, COUNT = 32, 8
both = pytest.mark.parametrize("renderer", RENDERERS)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.stack([textured(SIZE, SIZE, seed=seed) for seed in range(COUNT)])


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_beta_quantiles_are_scipys_and_the_draws_beta(alpha: float) -> None:
    rng = np.random.default_rng(0)
    uniform = rng.random(20_000, np.float32)
    found = np.asarray(beta_quantile(tf.constant(uniform), alpha))
    beta = stats.beta(alpha, alpha)
    # It is symmetric; near 1 a float32 is too coarse to tell probabilities by.
    low = uniform < 0.5
    assert np.abs(beta.cdf(found[low]) - uniform[low]).max() < 1 / 4096
    np.testing.assert_allclose(found[~low], beta.ppf(uniform[~low]), atol=0.1)
    assert stats.kstest(found[low], lambda x: 2 * beta.cdf(x)).pvalue > 0.001
    assert abs(low.mean() - 0.5) < 0.02


@both
def test_mixup_is_the_blend_of_neighbors(images: np.ndarray, renderer: str) -> None:
    plan = plan_of(MixUp(alpha=1), size=SIZE)
    (share,) = (found.values["share"] for found in draw(plan, COUNT))
    mixed = renderer_of(plan, renderer).mix(tf.constant(images), sample(plan, COUNT).labels[0])
    share = share[:, None, None, None]
    expected = (1 - share) * images + share * np.roll(images, -1, axis=0)
    assert np.abs(mixed - expected).max() <= 1
    assert len(np.unique(share)) == COUNT


@both
def test_cutmix_covers_a_rectangle_and_shares_the_label_by_area(
    images: np.ndarray, renderer: str
) -> None:
    plan = plan_of(CutMix(), size=SIZE)
    (found,) = draw(plan, COUNT)
    (parameters,) = sample(plan, COUNT).labels
    mixed = np.asarray(renderer_of(plan, renderer).mix(tf.constant(images), parameters))
    share = np.asarray(partner_share(parameters, SIZE))
    partners = np.roll(images, -1, axis=0)
    for i in range(COUNT):
        top, left, height, width = (
            int(found.values[key][i]) for key in ("top", "left", "height", "width")
        )
        expected = images[i].copy()
        rows, columns = slice(top, top + height), slice(left, left + width)
        expected[rows, columns] = partners[i, rows, columns]
        np.testing.assert_array_equal(mixed[i], expected)
        assert share[i] == pytest.approx(height * width / SIZE**2)


def test_cutmix_draws_squares_about_any_pixel_with_beta_areas() -> None:
    size = 1024
    (found,) = draw(plan_of(CutMix(alpha=2), size=size), 4000)
    top, left, height, width = (found.values[k] for k in ("top", "left", "height", "width"))
    assert ((top >= 0) & (left >= 0) & (top + height <= size) & (left + width <= size)).all()
    # A square that the border did not cut has the area that was drawn.
    whole = (top > 0) & (left > 0) & (top + height < size) & (left + width < size)
    assert whole.sum() > 500
    np.testing.assert_array_equal(height[whole], width[whole])
    # The larger of the sides is cut least: from it the drawn area is known, where one is whole.
    one_whole = ((top > 0) & (top + height < size)) | ((left > 0) & (left + width < size))
    area = (np.maximum(height, width) / size) ** 2
    small = one_whole & (area < 0.2)
    expected = stats.beta(2, 2)
    assert area[small].min() < 0.03
    drawn_small = expected.cdf(0.2)
    assert abs(small.mean() - drawn_small) < 5 * np.sqrt(drawn_small * (1 - drawn_small) / 4000)


def test_loss_of_mixed_labels_is_the_blend_of_both_losses() -> None:
    rng = np.random.default_rng(0)
    labels = np.eye(3, dtype=np.float32)[rng.integers(0, 3, COUNT)]
    weights = rng.uniform(0.5, 3, COUNT).astype(np.float32)
    share = rng.uniform(0, 1, COUNT).astype(np.float32)
    logits = rng.normal(0, 2, (COUNT, 3)).astype(np.float32)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, reduction=None)
    mixed, mixed_weights = mix_labels(tf.constant(labels), tf.constant(weights), tf.constant(share))
    np.testing.assert_allclose(np.sum(mixed, axis=1), 1, rtol=1e-6)
    found = np.asarray(loss(mixed, logits)) * np.asarray(mixed_weights)
    partners = np.roll(np.arange(COUNT), -1)
    own = weights * np.asarray(loss(labels, logits))
    other = weights[partners] * np.asarray(loss(labels[partners], logits))
    np.testing.assert_allclose(found, (1 - share) * own + share * other, rtol=1e-5)


def test_labels_of_images_that_count_for_nothing_stay_numbers() -> None:
    labels, zeros = tf.one_hot([0, 1], 2), tf.zeros(2)
    mixed, weights = mix_labels(labels, zeros, tf.constant([0.3, 0.0]))
    assert np.isfinite(mixed).all()
    np.testing.assert_array_equal(weights, zeros)


def test_labels_of_any_shape_are_mixed() -> None:
    numbers = tf.constant([[1.0], [3.0]])
    mixed, _ = mix_labels(numbers, tf.ones(2), tf.constant([0.25, 0.5]))
    np.testing.assert_allclose(mixed, [[1.5], [2.0]])
