"""Both renderers: agreement with each other, anti-aliased shrinking, borders, XLA."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from scipy import ndimage

from pipelines.augment.augmenter import Augmenter
from pipelines.augment.base import Operation
from pipelines.augment.geometry import Rotate, Shift, Zoom
from pipelines.augment.operations import AUGMENTATIONS, parse_operation
from pipelines.augment.policies import AugmentConfig
from pipelines.augment.renderers import opencv as render_opencv
from pipelines.augment.renderers.opencv import OpenCVRenderer, allocate_aligned
from tests.support.policy_strategies import policies
from tests.support.rendering import (
    COLOR_AXES,
    RENDERERS,
    build_plan,
    build_plan_renderer,
    build_texture,
    fix_parameters,
    render,
    sample_views,
)
from zoo.preprocessing import Preprocessing

SIZE = 32
both = pytest.mark.parametrize("renderer", RENDERERS)
# The renderers may differ by one step wherever a value is rounded: after block averaging,
# smoothing, interpolation, the color map and each filter.
TOLERANCE, MEAN_TOLERANCE = 3, 0.25


def _compare(operations: list[Operation], images: Any, border: str = "reflect", **fit: Any) -> None:
    plan = build_plan(*operations, size=SIZE)
    views = sample_views(plan, len(images))
    if not all(build_plan_renderer(plan, name, **fit).has_geometry for name in RENDERERS):  # type: ignore[attr-defined]
        fitted = [Preprocessing(size=SIZE, **fit).fit_image(image) for image in images]
        images = tf.stack(fitted)
    found = []
    for name in RENDERERS:
        renderer = build_plan_renderer(plan, name, border=border, **fit)
        result = renderer.render(images, views)
        for arguments in views.mixing:
            result = renderer.mix(result, arguments)
        found.append(np.asarray(result).astype(int))
    difference = np.abs(found[0] - found[1])
    assert difference.max() <= TOLERANCE
    assert difference.mean() <= MEAN_TOLERANCE


def _images(height: int, width: int, count: int = 6) -> Any:
    return tf.constant(np.stack([build_texture(height, width, seed=seed) for seed in range(count)]))


@pytest.mark.parametrize("shape", [(SIZE, SIZE), (40, 57), (150, 101)])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_renderers_agree_on_every_operation(name: str, shape: tuple[int, int]) -> None:
    settings: dict[str, Any] = {"name": name, "p": 1}
    if name == "choose":
        settings |= {"count": 2, "operations": [{"name": n} for n in ("zoom", "hue", "shear")]}
    _compare([parse_operation(settings)], _images(*shape))


@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
@pytest.mark.parametrize("border", ["reflect", "edge", "black"])
def test_renderers_agree_for_every_border_and_fit(border: str, fit: str) -> None:
    policy = AugmentConfig(policy="rotate(180)|zoom(3)|shift(0.3)|perspective").policy
    _compare(list(policy), _images(50, 90), border=border, fit=fit)


@given(policies(max_size=3))
@settings(max_examples=15)
def test_renderers_agree_on_any_policy(policy: list[dict[str, Any]]) -> None:
    _compare([parse_operation(operation) for operation in policy], _images(45, 36, count=3))


@pytest.mark.train
@pytest.mark.parametrize(
    "policy", ["photo", pytest.param("strong|mixup|cutmix", marks=pytest.mark.slow)]
)
def test_tensorflow_renderer_compiles_with_xla(policy: str) -> None:
    plan = build_plan(*AugmentConfig(policy=policy).policy, size=SIZE)
    renderer = build_plan_renderer(plan, "tensorflow")
    images = _images(60, 48, count=4)

    def render_views(images: Any, passes: Any, indices: Any) -> Any:
        views = plan.sample(tf.constant(1, tf.int64), passes, indices)
        rendered = renderer.render(images, views)
        for arguments in views.mixing:
            rendered = renderer.mix(rendered, arguments)
        return rendered

    keys = (tf.zeros(4, tf.int64), tf.range(4, dtype=tf.int64))
    compiled = tf.function(render_views, jit_compile=True)(images, *keys)
    difference = np.abs(np.asarray(compiled, int) - np.asarray(render_views(images, *keys), int))
    assert difference.max() <= 1
    assert difference.mean() < 0.01


@both
@pytest.mark.parametrize("shrink", [1.3, 1.8, 2.0, 2.7, 3.4, 6.1])
def test_shrinking_approximates_the_evaluation_transform(renderer: str, shrink: float) -> None:
    side = round(SIZE * shrink)
    # Maximal detail in single pixels; photographs have less.
    image = build_texture(side, side, smooth=0.6)
    found = render(
        image, fix_parameters(Rotate(), degrees=0.0), renderer=renderer, size=SIZE
    ).astype(float)
    expected = np.asarray(Preprocessing(size=SIZE).fit_image(tf.constant(image)), float)
    bilinear = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR).astype(float)
    error = np.sqrt(np.mean((found - expected) ** 2))
    assert error < 5
    assert error < 0.65 * np.sqrt(np.mean((bilinear - expected) ** 2)), "no better than aliasing"
    # Neither blurred nor aliased overall: the contrast is kept.
    assert found.std() == pytest.approx(expected.std(), rel=0.08)


@both
def test_shrinking_equals_blocks_smoothing_and_interpolation(renderer: str) -> None:
    image = build_texture(150, 150)
    found = render(image, fix_parameters(Zoom(), factor=0.9), renderer=renderer, size=SIZE)
    shrink = 150 / SIZE / 0.9
    block = 2
    blocks = image[: 150 // block * block, : 150 // block * block].astype(float)
    averaged = blocks.reshape(150 // block, block, 150 // block, block, 3).mean(axis=(1, 3))
    # The variance of the triangle minus those of blocks and interpolation.
    smoothing = ((shrink**2 - block**2) / 6 - (block**2 - 1) / 12) / block**2 / 2
    kernel = np.convolve(*([a, 1 - 2 * a, a] for a in (0.25, smoothing - 0.25)))
    smoothed = np.rint(averaged)
    for axis in (0, 1):
        smoothed = ndimage.correlate1d(smoothed, kernel, axis=axis, mode="mirror")
    position = (75 + (np.arange(SIZE) + 0.5 - SIZE / 2) * shrink) / block - 0.5
    grid = np.meshgrid(position, position, indexing="ij")
    expected = np.stack(
        [ndimage.map_coordinates(smoothed[..., c], grid, order=1, mode="mirror") for c in range(3)],
        -1,
    )
    assert np.abs(found - expected)[4:-4, 4:-4].max() <= 2


def test_only_the_visible_part_is_shrunk() -> None:
    # A corner of a large image; pixels that the view does not show change nothing.
    large = build_texture(600, 600)
    steps = [fix_parameters(Zoom(), factor=3.0), fix_parameters(Shift(), dx=0.25, dy=0.25)]
    found = render(large, *steps, size=SIZE)
    painted = large.copy()
    painted[:, 420:] = 0
    painted[420:] = 255
    np.testing.assert_array_equal(render(painted, *steps, size=SIZE), found)


def test_rendering_does_not_change_its_input() -> None:
    image = build_texture(90, 70)
    before = image.copy()
    plan = build_plan(*AugmentConfig(policy="strong|gaussian_noise|erase").policy, size=SIZE)
    renderer = build_plan_renderer(plan, "opencv")
    assert isinstance(renderer, OpenCVRenderer)
    views = sample_views(plan, 5)
    frames = tf.constant([[0.0, 0.0, 90.0, 70.0]] * 5)
    renderer.render_fetched(lambda _: [image] * 5, tf.constant(0), frames, views)
    np.testing.assert_array_equal(image, before)


def test_views_do_not_depend_on_opencv_threads() -> None:
    image = tf.constant(build_texture(300, 400))
    found = []
    threads = cv2.getNumThreads()
    try:
        for count in (1, 4):
            cv2.setNumThreads(count)
            config = AugmentConfig(policy="strong|median_blur|bilateral_blur")
            augmenter = Augmenter(config, Preprocessing(size=96), 0, COLOR_AXES)
            views = augmenter.sample(tf.zeros(9, tf.int64), tf.range(9, dtype=tf.int64))
            found.append(np.asarray(augmenter.render(image, views)))
    finally:
        cv2.setNumThreads(threads)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("policy", ["rotate(30)|zoom(1.3)", "perspective(0.4)", "crop(0.3)"])
def test_warping_four_channels_equals_warping_three(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = tf.constant(np.stack([build_texture(150, 170, seed=seed) for seed in range(4)]))
    plan = build_plan(*AugmentConfig(policy=policy).policy, size=render_opencv.MIN_RGBA_SIZE)
    renderer = build_plan_renderer(plan, "opencv")
    views = sample_views(plan, len(images))
    through_rgba = renderer.render(images, views)
    monkeypatch.setattr(render_opencv, "MIN_RGBA_SIZE", render_opencv.MIN_RGBA_SIZE + 1)
    np.testing.assert_array_equal(renderer.render(images, views), through_rgba)


@both
def test_render_one_equals_render_of_a_repeated_image(renderer: str) -> None:
    image = build_texture(50, 40)
    plan = build_plan(*AugmentConfig(policy="strong").policy, size=SIZE)
    views = sample_views(plan, 5)
    built = build_plan_renderer(plan, renderer)
    np.testing.assert_array_equal(
        built.render_one(tf.constant(image), views),
        built.render(tf.constant(np.stack([image] * 5)), views),
    )


def test_allocate_aligned_returns_aligned_memory() -> None:
    for shape in ((1,), (3, 5, 7), (4, 64, 64, 3)):
        memory = allocate_aligned(shape)
        assert memory.shape == shape
        assert memory.ctypes.data % 64 == 0
