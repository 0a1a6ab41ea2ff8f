"""Color operations at fixed parameters, against Pillow, OpenCV, TensorFlow and colorsys."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as PillowImage
from PIL import ImageEnhance

from pipelines.augment.color import (
    Brightness,
    Contrast,
    Grayscale,
    Hue,
    PcaNoise,
    Saturation,
)
from tests.support.rendering import (
    COLOR_AXES,
    RENDERERS,
    Image,
    build_plan,
    fix_parameters,
    render,
    sample_views,
)

SIZE = 32
both = pytest.mark.parametrize("renderer", RENDERERS)


@pytest.fixture(scope="module")
def image() -> Image:
    """Random values in every channel."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)


def _max_difference(one: Image, other: object) -> int:
    return int(np.abs(one.astype(int) - np.asarray(other, int)).max())


@both
@pytest.mark.parametrize("delta", [-0.4, 0.1, 0.9])
def test_brightness_matches_tensorflow(image: Image, renderer: str, delta: float) -> None:
    expected = tf.image.adjust_brightness(image / np.float32(255), delta)
    expected = np.rint(255 * np.clip(expected, 0, 1))
    assert (
        _max_difference(
            render(image, fix_parameters(Brightness(), delta=delta), renderer=renderer), expected
        )
        <= 1
    )


@both
@pytest.mark.parametrize("factor", [0.0, 0.5, 1.7])
def test_contrast_scales_about_mid_gray(image: Image, renderer: str, factor: float) -> None:
    expected = np.clip(127.5 + factor * (image - 127.5), 0, 255)
    found = render(image, fix_parameters(Contrast(), factor=factor), renderer=renderer)
    assert np.abs(found - expected).max() <= 1
    # Pillow blends with an integer gray.
    gray = PillowImage.new("RGB", (SIZE, SIZE), (128, 128, 128))
    blended = PillowImage.blend(gray, PillowImage.fromarray(image), factor)
    assert _max_difference(found, blended) <= 2


@both
@pytest.mark.parametrize("factor", [0.0, 0.6, 1.9])
def test_saturation_matches_pillow(image: Image, renderer: str, factor: float) -> None:
    expected = ImageEnhance.Color(PillowImage.fromarray(image)).enhance(factor)
    found = render(image, fix_parameters(Saturation(), factor=factor), renderer=renderer)
    assert _max_difference(found, expected) <= 2


@both
@pytest.mark.parametrize("degrees", [-120.0, 18.0, 75.0])
def test_hue_rotates_in_colorsys_yiq(renderer: str, degrees: float) -> None:
    # Pale colors, so that none is clipped.
    rng = np.random.default_rng(0)
    image = rng.integers(100, 156, (SIZE, SIZE, 3)).astype(np.uint8)
    rotation = np.exp(1j * np.radians(degrees))

    def rotate(pixel: np.ndarray) -> np.ndarray:
        y, i, q = colorsys.rgb_to_yiq(*pixel / 255)
        chroma = complex(i, q) * rotation
        return 255 * np.array(colorsys.yiq_to_rgb(y, chroma.real, chroma.imag))

    expected = np.apply_along_axis(rotate, 2, image)
    found = render(image, fix_parameters(Hue(), degrees=degrees), renderer=renderer)
    # The coefficients of colorsys are rounded to two digits.
    assert np.abs(found - expected).max() <= 2
    gray = np.repeat(np.arange(SIZE, dtype=np.uint8)[None, :, None] * 8, SIZE, 0).repeat(3, 2)
    assert (
        _max_difference(
            render(gray, fix_parameters(Hue(), degrees=degrees), renderer=renderer), gray
        )
        <= 1
    )


@both
def test_grayscale_matches_opencv_and_pillow(image: Image, renderer: str) -> None:
    found = render(image, fix_parameters(Grayscale()), renderer=renderer)
    assert _max_difference(found[..., 0], cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) <= 1
    assert _max_difference(found[..., 0], PillowImage.fromarray(image).convert("L")) <= 1
    assert (np.ptp(found.astype(int), axis=2) <= 0).all()


@both
def test_pca_noise_adds_weighted_components(image: Image, renderer: str) -> None:
    alphas = np.array([1.5, -0.7, 2.0])
    change = COLOR_AXES @ alphas
    parameters = dict(zip(("red", "green", "blue"), change, strict=True))
    found = render(image, fix_parameters(PcaNoise(), **parameters), renderer=renderer)
    expected = np.clip(np.rint(image + 255 * change), 0, 255)
    assert _max_difference(found, expected) <= 1


def test_color_operations_compose_and_clip_once(image: Image) -> None:
    steps = [
        fix_parameters(Brightness(), delta=0.5),
        fix_parameters(Contrast(), factor=0.3),
        fix_parameters(Saturation(), factor=1.4),
        fix_parameters(Brightness(), delta=-0.2),
    ]
    found = render(image, *steps)
    expected = image.astype(float) + 127.5
    expected = 127.5 + 0.3 * (expected - 127.5)
    luma = expected @ [0.299, 0.587, 0.114]
    expected = luma[..., None] + 1.4 * (expected - luma[..., None]) - 51
    assert np.abs(found - np.clip(expected, 0, 255)).max() <= 1
    one_by_one = image
    for step in steps:
        one_by_one = render(one_by_one, step)
    # Clipping after every step loses most highlights.
    assert len(np.unique(found[..., 0])) > 1.5 * len(np.unique(one_by_one[..., 0]))


def test_images_of_a_batch_have_different_color_maps() -> None:
    plan = build_plan(Brightness(), PcaNoise(), Hue(), size=SIZE)
    maps = sample_views(plan, 20).color.numpy()
    assert maps.shape == (20, 3, 4)
    assert len(np.unique(maps.reshape(20, -1), axis=0)) == 20
