"""Pixels: blurs at fixed values against SciPy and NumPy, noise against its distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage, stats

from pipelines.augment.filters import BilateralBlur, Erase, GaussianBlur, GaussianNoise, MedianBlur
from pipelines.augment.noise_bank import BANK_SIZE, STEPS, noise_bank
from tests.support.rendering import (
    RENDERERS,
    Image,
    draw,
    drawn,
    plan_of,
    render,
    renderer_of,
    sample,
    textured,
)

SIZE = 48
both = pytest.mark.parametrize("renderer", RENDERERS)


@both
@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.3])
def test_gaussian_blur_is_scipys(renderer: str, sigma: float) -> None:
    image = textured(SIZE, SIZE, smooth=0.5)
    expected = ndimage.gaussian_filter(
        image.astype(float), (sigma, sigma, 0), mode="mirror", radius=int(np.ceil(3 * sigma))
    )
    found = render(image, drawn(GaussianBlur(sigma=3), sigma=sigma), renderer=renderer)
    # OpenCV's weights are multiples of 1/256.
    assert np.abs(found - expected).max() <= 2
    assert np.abs(found - expected).mean() < 0.5


@both
@pytest.mark.parametrize("reach", [1, 2])
def test_median_blur_is_scipys_to_the_bit(renderer: str, reach: int) -> None:
    image = textured(SIZE, SIZE, smooth=0.5)
    width = 2 * reach + 1
    expected = ndimage.median_filter(image, size=(width, width, 1), mode="nearest")
    found = render(image, drawn(MedianBlur(size=5), reach=reach), renderer=renderer)
    np.testing.assert_array_equal(found, expected)


@both
@pytest.mark.parametrize("color", [0.05, 0.4])
def test_bilateral_blur_is_its_formula(renderer: str, color: float) -> None:
    image = textured(SIZE, SIZE, smooth=0.5)
    pixels = np.pad(image.astype(float), ((2, 2), (2, 2), (0, 0)), mode="reflect")
    total, weights = np.zeros(image.shape), np.zeros((SIZE, SIZE, 1))
    for down, across in np.ndindex(5, 5):
        distance = np.hypot(down - 2, across - 2)
        if distance > 2:
            continue
        other = pixels[down : down + SIZE, across : across + SIZE]
        apart = np.abs(other - image).sum(axis=2, keepdims=True)
        weight = np.exp(-(distance**2) / (2 * 1.5**2) - apart**2 / (2 * (255 * color) ** 2))
        total, weights = total + weight * other, weights + weight
    found = render(image, drawn(BilateralBlur(space=1.5), color=color), renderer=renderer)
    assert np.abs(found - total / weights).max() <= 1


def test_noise_bank_is_normal() -> None:
    bank = noise_bank()
    assert len(bank) == BANK_SIZE
    z = (bank.astype(np.float32) - 128) / STEPS
    # Of 16.8 million the mean's standard deviation is 0.00024, the variance's 0.00035.
    assert abs(z.mean()) < 0.001
    assert abs(z.var() - 1) < 0.002
    assert abs(stats.skew(z)) < 0.005
    assert abs(stats.kurtosis(z)) < 0.01
    # The share of every byte is what a rounded normal number has.
    counts = np.bincount(bank, minlength=256)[1:]
    edges = (np.arange(-127, 129) - 0.5) / STEPS
    shares = np.diff(stats.norm.cdf(edges))
    shares[0], shares[-1] = stats.norm.cdf(edges[1]), stats.norm.sf(edges[-2])
    assert stats.chisquare(counts, BANK_SIZE * shares).pvalue > 0.001
    # Numbers that lie near each other are independent: neighbors, channels, rows.
    for lag in (1, 2, 3, 96, 672):
        assert abs(np.corrcoef(z[:-lag], z[lag:])[0, 1]) < 5 / np.sqrt(BANK_SIZE)


def _noises(sigma: float, count: int, renderer: str, number: int = 0) -> np.ndarray:
    """What is added to mid-gray images, [count, SIZE² × 3]."""
    operation = GaussianNoise(sigma=sigma, min_sigma=sigma)
    plan = plan_of(operation, size=SIZE)
    gray = tf.fill([count, SIZE, SIZE, 3], tf.constant(128, tf.uint8))
    views = sample(plan, count, number=number)
    found = np.asarray(renderer_of(plan, renderer).render(gray, views)).astype(float) - 128
    return found.reshape(count, -1)


@both
@pytest.mark.parametrize("sigma", [0.02, 0.05, 0.1])
def test_noise_is_normal_with_the_sigma_of_the_recipe(renderer: str, sigma: float) -> None:
    noise = _noises(sigma, 64, renderer)
    steps = 255 * sigma
    # Rounding to whole steps adds 1/12.
    expected = np.sqrt(steps**2 + 1 / 12)
    error = 4 * expected / np.sqrt(2 * noise.size)
    assert abs(noise.std() - expected) < error + 0.002 * expected
    assert abs(noise.mean()) < 4 * expected / np.sqrt(noise.size)
    # Against the rounded normal distribution, with a tolerance for the bank's own steps.
    values = np.arange(np.ceil(-4 * steps), np.floor(4 * steps))
    found = np.searchsorted(np.sort(noise.ravel()), values, side="right") / noise.size
    assert np.abs(found - stats.norm.cdf(values + 0.5, scale=steps)).max() < 0.01
    # Each image by itself has that sigma, and no mean.
    n = noise.shape[1]
    assert np.abs(noise.std(axis=1) / expected - 1).max() < 5 / np.sqrt(2 * n) + 0.002
    assert np.abs(noise.mean(axis=1)).max() < 5 * expected / np.sqrt(n)


def test_noise_is_independent_between_images_and_passes() -> None:
    noise = np.concatenate([_noises(0.1, 150, "opencv", number=number) for number in (0, 1)])
    correlations = np.corrcoef(noise)[np.triu_indices(300, 1)]
    # 44,850 pairs: as spread as independent ones, and the furthest no further.
    scaled = correlations * np.sqrt(noise.shape[1])
    assert abs(scaled.std() - 1) < 0.02
    assert abs(scaled.mean()) < 0.03
    assert np.abs(scaled).max() < 5.5
    assert stats.kstest(scaled, "norm").pvalue > 0.001
    # So are the pixels of an image: across, down, and from channel to channel.
    pixels = noise.reshape(-1, SIZE, SIZE, 3)
    for one, other in (
        (pixels[:, :-1], pixels[:, 1:]),
        (pixels[:, :, :-1], pixels[:, :, 1:]),
        (pixels[..., 0], pixels[..., 1]),
    ):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 5 / np.sqrt(one.size)


def test_noise_of_a_batch_is_not_the_same_stretch_with_another_sign() -> None:
    (found,) = draw(plan_of(GaussianNoise(), size=SIZE), 2000)
    assert len(np.unique(found.values["place"])) > 1995
    assert set(found.values["sign"]) == {-1, 1}
    assert abs(found.values["sign"].mean()) < 4 / np.sqrt(2000)


@both
@pytest.mark.parametrize("fill", ["noise", "gray", "black"])
def test_erasing_covers_the_rectangle_and_nothing_else(renderer: str, fill: Any) -> None:
    image = textured(SIZE, SIZE)
    values = {"top": 7, "left": 20, "height": 30, "width": 11, "place": 12345}
    found = render(image, drawn(Erase(fill=fill), **values), renderer=renderer)
    expected = image.copy()
    inside = expected[7:37, 20:31]
    start = 12345
    noise = noise_bank()[start : start + inside.size].reshape(inside.shape)
    inside[:] = {"noise": noise, "gray": 128, "black": 0}[fill]
    np.testing.assert_array_equal(found, expected)


def test_erased_rectangles_have_the_areas_and_proportions_of_the_recipe() -> None:
    size = 1024  # so large that rounding to pixels does not matter
    (found,) = draw(plan_of(Erase(area=0.25, min_area=0.05, aspect=2), size=size), 4000)
    top, left, height, width = (found.values[k] for k in ("top", "left", "height", "width"))
    assert ((top >= 0) & (left >= 0) & (top + height <= size) & (left + width <= size)).all()
    area, ratio = height * width / size**2, height / width
    assert stats.kstest(area, stats.uniform(0.05, 0.2).cdf).pvalue > 0.001
    assert stats.kstest(ratio, stats.loguniform(0.5, 2).cdf).pvalue > 0.001
    # Every place at which it fits is as likely.
    place = top / (size - height)
    assert stats.kstest(place, "uniform").pvalue > 0.001


def test_pixel_operations_are_applied_in_order() -> None:
    image = textured(SIZE, SIZE)
    hole = drawn(Erase(fill="black"), top=10, left=10, height=20, width=20, place=0)
    blur = drawn(GaussianBlur(), sigma=2.0)
    first, last = render(image, hole, blur), render(image, blur, hole)
    assert (last[10:30, 10:30] == 0).all()
    assert first[10:30, 10:30].max() > 30


@both
def test_noise_on_white_and_black_is_cut_off(renderer: str) -> None:
    for value in (0, 255):
        image: Image = np.full((SIZE, SIZE, 3), value, np.uint8)
        step = drawn(GaussianNoise(), sigma=0.1, place=500, sign=1)
        found = render(image, step, renderer=renderer)
        assert abs((found == value).mean() - 0.5) < 0.03
