"""Color: at fixed values, what Pillow, OpenCV, TensorFlow and Python make of the same pixels."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as PillowImage
from PIL import ImageEnhance
from sklearn.decomposition import PCA

from pipelines.augment.color import (
    Brightness,
    Contrast,
    Grayscale,
    Hue,
    PcaNoise,
    Saturation,
)
from pipelines.augment.color_pca import fit_axes
from tests.support.rendering import (
    AXES,
    RENDERERS,
    Image,
    drawn,
    plan_of,
    render,
    sample,
    textured,
)

SIZE = 32
both = pytest.mark.parametrize("renderer", RENDERERS)


@pytest.fixture(scope="module")
def image() -> Image:
    """Every value of every channel, in random company."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)


def _furthest(one: Image, other: object) -> int:
    return int(np.abs(one.astype(int) - np.asarray(other, int)).max())


@both
@pytest.mark.parametrize("delta", [-0.4, 0.1, 0.9])
def test_brightness_is_tensorflows(image: Image, renderer: str, delta: float) -> None:
    expected = tf.image.adjust_brightness(image / np.float32(255), delta)
    expected = np.rint(255 * np.clip(expected, 0, 1))
    assert (
        _furthest(render(image, drawn(Brightness(), delta=delta), renderer=renderer), expected) <= 1
    )


@both
@pytest.mark.parametrize("factor", [0.0, 0.5, 1.7])
def test_contrast_is_a_scaling_about_mid_gray(image: Image, renderer: str, factor: float) -> None:
    expected = np.clip(127.5 + factor * (image - 127.5), 0, 255)
    found = render(image, drawn(Contrast(), factor=factor), renderer=renderer)
    assert np.abs(found - expected).max() <= 1
    # Pillow scales about the gray it is given, in whole steps.
    gray = PillowImage.new("RGB", (SIZE, SIZE), (128, 128, 128))
    blended = PillowImage.blend(gray, PillowImage.fromarray(image), factor)
    assert _furthest(found, blended) <= 2


@both
@pytest.mark.parametrize("factor", [0.0, 0.6, 1.9])
def test_saturation_is_pillows(image: Image, renderer: str, factor: float) -> None:
    expected = ImageEnhance.Color(PillowImage.fromarray(image)).enhance(factor)
    found = render(image, drawn(Saturation(), factor=factor), renderer=renderer)
    assert _furthest(found, expected) <= 2


@both
@pytest.mark.parametrize("degrees", [-120.0, 18.0, 75.0])
def test_hue_is_a_turn_in_pythons_yiq(renderer: str, degrees: float) -> None:
    # Pale colors, so that none has to be clipped.
    rng = np.random.default_rng(0)
    image = rng.integers(100, 156, (SIZE, SIZE, 3)).astype(np.uint8)
    turn = np.exp(1j * np.radians(degrees))

    def turned(pixel: np.ndarray) -> np.ndarray:
        y, i, q = colorsys.rgb_to_yiq(*pixel / 255)
        chroma = complex(i, q) * turn
        return 255 * np.array(colorsys.yiq_to_rgb(y, chroma.real, chroma.imag))

    expected = np.apply_along_axis(turned, 2, image)
    found = render(image, drawn(Hue(), degrees=degrees), renderer=renderer)
    # Python's coefficients are rounded to two digits of its own.
    assert np.abs(found - expected).max() <= 2
    gray = np.repeat(np.arange(SIZE, dtype=np.uint8)[None, :, None] * 8, SIZE, 0).repeat(3, 2)
    assert _furthest(render(gray, drawn(Hue(), degrees=degrees), renderer=renderer), gray) <= 1


@both
def test_grayscale_is_opencvs_and_pillows(image: Image, renderer: str) -> None:
    found = render(image, drawn(Grayscale()), renderer=renderer)
    assert _furthest(found[..., 0], cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) <= 1
    assert _furthest(found[..., 0], PillowImage.fromarray(image).convert("L")) <= 1
    assert (np.ptp(found.astype(int), axis=2) <= 0).all()


def test_axes_are_scikit_learns_components_times_their_variances() -> None:
    images = [textured(40, 30, seed=seed) for seed in range(6)]
    # Colors that vary together more than apart.
    mixed = [
        np.clip(i @ np.array([[0.9, 0.3, 0], [0.2, 0.6, 0.1], [0, 0, 0.5]]), 0, 255) for i in images
    ]
    images = [m.astype(np.uint8) for m in mixed]
    found = fit_axes(images)
    pca = PCA().fit(np.concatenate([i.reshape(-1, 3) for i in images]) / 255)
    expected = (pca.components_ * pca.explained_variance_[:, None]).T
    expected = expected * np.where(expected.sum(axis=0) < 0, -1, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_axes_count_every_image_alike() -> None:
    small, large = textured(20, 20, seed=1), textured(90, 90, seed=2, smooth=3)
    doubled = fit_axes([small, large.repeat(2, 0).repeat(2, 1)])
    np.testing.assert_allclose(fit_axes([small, large]), doubled, rtol=0.02, atol=1e-4)


@both
def test_pca_noise_adds_what_alexnet_adds(image: Image, renderer: str) -> None:
    alphas = np.array([1.5, -0.7, 2.0])
    added = AXES @ alphas
    values = dict(zip(("red", "green", "blue"), added, strict=True))
    found = render(image, drawn(PcaNoise(), **values), renderer=renderer)
    expected = np.clip(np.rint(image + 255 * added), 0, 255)
    assert _furthest(found, expected) <= 1


def test_colors_compose_into_one_map_and_are_clipped_once(image: Image) -> None:
    steps = [
        drawn(Brightness(), delta=0.5),
        drawn(Contrast(), factor=0.3),
        drawn(Saturation(), factor=1.4),
        drawn(Brightness(), delta=-0.2),
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
    # Clipped in between, most highlights are lost.
    assert len(np.unique(found[..., 0])) > 1.5 * len(np.unique(one_by_one[..., 0]))


def test_images_of_a_batch_have_color_maps_of_their_own() -> None:
    plan = plan_of(Brightness(), PcaNoise(), Hue(), size=SIZE)
    maps = sample(plan, 20).color.numpy()
    assert maps.shape == (20, 3, 4)
    assert len(np.unique(maps.reshape(20, -1), axis=0)) == 20
