"""Filters: blurs at fixed parameters against SciPy and NumPy, noise against its distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage, stats

from pipelines.augment.filters import BilateralBlur, Erase, GaussianBlur, GaussianNoise, MedianBlur
from pipelines.augment.noise_bank import build_noise_bank
from tests.support.rendering import (
    RENDERERS,
    Image,
    build_plan,
    build_plan_renderer,
    build_texture,
    fix_parameters,
    render,
    sample_operations,
    sample_views,
)

SIZE = 48
both = pytest.mark.parametrize("renderer", RENDERERS)


@both
@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.3])
def test_gaussian_blur_matches_scipy(renderer: str, sigma: float) -> None:
    image = build_texture(SIZE, SIZE, smooth=0.5)
    expected = ndimage.gaussian_filter(
        image.astype(float), (sigma, sigma, 0), mode="mirror", radius=int(np.ceil(3 * sigma))
    )
    found = render(image, fix_parameters(GaussianBlur(sigma=3), sigma=sigma), renderer=renderer)
    # OpenCV's weights are multiples of 1/256.
    assert np.abs(found - expected).max() <= 2
    assert np.abs(found - expected).mean() < 0.5


@both
@pytest.mark.parametrize("radius", [1, 2])
def test_median_blur_equals_scipy(renderer: str, radius: int) -> None:
    image = build_texture(SIZE, SIZE, smooth=0.5)
    width = 2 * radius + 1
    expected = ndimage.median_filter(image, size=(width, width, 1), mode="nearest")
    found = render(image, fix_parameters(MedianBlur(size=5), radius=radius), renderer=renderer)
    np.testing.assert_array_equal(found, expected)


@both
@pytest.mark.parametrize("color", [0.05, 0.4])
def test_bilateral_blur_matches_its_formula(renderer: str, color: float) -> None:
    image = build_texture(SIZE, SIZE, smooth=0.5)
    pixels = np.pad(image.astype(float), ((2, 2), (2, 2), (0, 0)), mode="reflect")
    total, weights = np.zeros(image.shape), np.zeros((SIZE, SIZE, 1))
    for dy, dx in np.ndindex(5, 5):
        distance = np.hypot(dy - 2, dx - 2)
        if distance > 2:
            continue
        other = pixels[dy : dy + SIZE, dx : dx + SIZE]
        difference = np.abs(other - image).sum(axis=2, keepdims=True)
        weight = np.exp(-(distance**2) / (2 * 1.5**2) - difference**2 / (2 * (255 * color) ** 2))
        total, weights = total + weight * other, weights + weight
    found = render(image, fix_parameters(BilateralBlur(space=1.5), color=color), renderer=renderer)
    assert np.abs(found - total / weights).max() <= 1


def _render_noise(sigma: float, count: int, renderer: str, number: int = 0) -> np.ndarray:
    """Renders the noise added to mid-gray images, float64 [count, SIZE² × 3]."""
    operation = GaussianNoise(sigma=sigma, min_sigma=sigma)
    plan = build_plan(operation, size=SIZE)
    gray = tf.fill([count, SIZE, SIZE, 3], tf.constant(128, tf.uint8))
    views = sample_views(plan, count, number=number)
    found = np.asarray(build_plan_renderer(plan, renderer).render(gray, views)).astype(float) - 128
    return found.reshape(count, -1)


@both
@pytest.mark.parametrize("sigma", [0.02, 0.05, 0.1])
def test_noise_is_normal_with_the_configured_sigma(renderer: str, sigma: float) -> None:
    noise = _render_noise(sigma, 64, renderer)
    steps = 255 * sigma
    # Rounding to integers adds 1/12 to the variance.
    expected = np.sqrt(steps**2 + 1 / 12)
    error = 4 * expected / np.sqrt(2 * noise.size)
    assert abs(noise.std() - expected) < error + 0.002 * expected
    assert abs(noise.mean()) < 4 * expected / np.sqrt(noise.size)
    # Against the rounded normal distribution; the tolerance covers the bank's quantization.
    values = np.arange(np.ceil(-4 * steps), np.floor(4 * steps))
    found = np.searchsorted(np.sort(noise.ravel()), values, side="right") / noise.size
    assert np.abs(found - stats.norm.cdf(values + 0.5, scale=steps)).max() < 0.01
    # Each single image has that σ and a mean of 0.
    n = noise.shape[1]
    assert np.abs(noise.std(axis=1) / expected - 1).max() < 5 / np.sqrt(2 * n) + 0.002
    assert np.abs(noise.mean(axis=1)).max() < 5 * expected / np.sqrt(n)


def test_noise_is_independent_between_images_and_passes() -> None:
    noise = np.concatenate([_render_noise(0.1, 150, "opencv", number=number) for number in (0, 1)])
    correlations = np.corrcoef(noise)[np.triu_indices(300, 1)]
    # 44,850 pairs of images: distributed like correlations of independent noise.
    scaled = correlations * np.sqrt(noise.shape[1])
    assert abs(scaled.std() - 1) < 0.02
    assert abs(scaled.mean()) < 0.03
    assert np.abs(scaled).max() < 5.5
    assert stats.kstest(scaled, "norm").pvalue > 0.001
    # Neighboring pixels and channels of an image are independent too.
    pixels = noise.reshape(-1, SIZE, SIZE, 3)
    for one, other in (
        (pixels[:, :-1], pixels[:, 1:]),
        (pixels[:, :, :-1], pixels[:, :, 1:]),
        (pixels[..., 0], pixels[..., 1]),
    ):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 5 / np.sqrt(one.size)


def test_noise_of_a_batch_takes_different_bank_offsets_and_signs() -> None:
    (found,) = sample_operations(build_plan(GaussianNoise(), size=SIZE), 2000)
    assert len(np.unique(found.parameters["noise_offset"])) > 1995
    assert set(found.parameters["noise_sign"]) == {-1, 1}
    assert abs(found.parameters["noise_sign"].mean()) < 4 / np.sqrt(2000)


@both
@pytest.mark.parametrize("fill", ["noise", "gray", "black"])
def test_erase_covers_only_the_rectangle(renderer: str, fill: Any) -> None:
    image = build_texture(SIZE, SIZE)
    parameters = {"top": 7, "left": 20, "height": 30, "width": 11, "noise_offset": 12345}
    found = render(image, fix_parameters(Erase(fill=fill), **parameters), renderer=renderer)
    expected = image.copy()
    inside = expected[7:37, 20:31]
    start = 12345
    noise = build_noise_bank()[start : start + inside.size].reshape(inside.shape)
    inside[:] = {"noise": noise, "gray": 128, "black": 0}[fill]
    np.testing.assert_array_equal(found, expected)


def test_erased_rectangles_have_the_configured_areas_and_aspect_ratios() -> None:
    size = 1024  # makes rounding to pixels negligible
    (found,) = sample_operations(
        build_plan(Erase(area=0.25, min_area=0.05, aspect=2), size=size), 4000
    )
    top, left, height, width = (found.parameters[k] for k in ("top", "left", "height", "width"))
    assert ((top >= 0) & (left >= 0) & (top + height <= size) & (left + width <= size)).all()
    area, ratio = height * width / size**2, height / width
    assert stats.kstest(area, stats.uniform(0.05, 0.2).cdf).pvalue > 0.001
    assert stats.kstest(ratio, stats.loguniform(0.5, 2).cdf).pvalue > 0.001
    # Every position at which the rectangle fits is equally likely.
    position = top / (size - height)
    assert stats.kstest(position, "uniform").pvalue > 0.001


def test_filters_apply_in_policy_order() -> None:
    image = build_texture(SIZE, SIZE)
    erase = fix_parameters(
        Erase(fill="black"), top=10, left=10, height=20, width=20, noise_offset=0
    )
    blur = fix_parameters(GaussianBlur(), sigma=2.0)
    erased_first, erased_last = render(image, erase, blur), render(image, blur, erase)
    assert (erased_last[10:30, 10:30] == 0).all()
    assert erased_first[10:30, 10:30].max() > 30


@both
def test_noise_on_white_and_black_is_clipped(renderer: str) -> None:
    for value in (0, 255):
        image: Image = np.full((SIZE, SIZE, 3), value, np.uint8)
        step = fix_parameters(GaussianNoise(), sigma=0.1, noise_offset=500, noise_sign=1)
        found = render(image, step, renderer=renderer)
        assert abs((found == value).mean() - 0.5) < 0.03
