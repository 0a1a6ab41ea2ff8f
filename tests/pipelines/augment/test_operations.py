"""Every row of AUGMENTATIONS: probability, distribution, identity, independent samples."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from pipelines.augment.augmenter import Augmenter
from pipelines.augment.base import MixingOperation, Operation
from pipelines.augment.operations import AUGMENTATIONS, Choose, parse_operation
from pipelines.augment.policies import AugmentConfig
from tests.support.rendering import (
    COLOR_AXES,
    RENDERERS,
    build_plan,
    build_plan_renderer,
    build_texture,
    sample_operations,
    sample_views,
)
from zoo.errors import RecipeError, UnknownNameError
from zoo.preprocessing import Preprocessing

SIZE = 32
NAMES = [name for name in AUGMENTATIONS if name != "choose"]

# Settings at which an operation changes nothing; p = 0 where no other setting does that.
ZERO: dict[str, dict[str, Any]] = {
    "flip_lr": {"p": 0},
    "flip_ud": {"p": 0},
    "transpose": {"p": 0},
    "shift": {"share": 0},
    "rotate": {"degrees": 0},
    "shear": {"degrees": 0},
    "rescale": {"ratio": 1},
    "zoom": {"ratio": 1},
    "crop": {"area": 1},
    "perspective": {"share": 0},
    "brightness": {"delta": 0},
    "contrast": {"amount": 0},
    "saturation": {"amount": 0},
    "hue": {"degrees": 0},
    "grayscale": {"p": 0},
    "pca_noise": {"sigma": 0},
    "gaussian_blur": {"sigma": 0},
    "median_blur": {"p": 0},
    "bilateral_blur": {"color": 0},
    "gaussian_noise": {"sigma": 0},
    "erase": {"area": 0},
    "mixup": {"p": 0},
    "cutmix": {"p": 0},
}

# Settings at which nearly every sample changes an 8-bit image.
VISIBLE: dict[str, dict[str, Any]] = {
    "pca_noise": {"sigma": 2},
    "gaussian_blur": {"min_sigma": 1},
    "bilateral_blur": {"color": 1},
    "mixup": {"alpha": 8},
}


def _uniform(low: float, high: float) -> Any:
    return stats.uniform(low, high - low)


# Distribution of each sampled parameter at the default settings.
DISTRIBUTIONS: dict[str, dict[str, Any]] = {
    "flip_lr": {},
    "flip_ud": {},
    "transpose": {},
    "shift": {"dx": stats.randint(-4, 5), "dy": stats.randint(-4, 5)},
    "rotate": {"degrees": _uniform(-15, 15)},
    "shear": {"sum": _uniform(-17, 17)},
    "rescale": {
        "x_factor": stats.loguniform(1 / 1.3333, 1.3333),
        "y_factor": stats.loguniform(1 / 1.3333, 1.3333),
    },
    "zoom": {"factor": stats.loguniform(1 / 1.4142, 1.4142)},
    "crop": {"area": _uniform(0.08, 1)},
    "perspective": {f"{axis}{corner}": _uniform(0, 0.25) for axis in "xy" for corner in range(4)},
    "brightness": {"delta": _uniform(-0.125, 0.125)},
    "contrast": {"factor": _uniform(0.6, 1.4)},
    "saturation": {"factor": _uniform(0.6, 1.4)},
    "hue": {"degrees": _uniform(-18, 18)},
    "grayscale": {},
    "pca_noise": {f"alpha{i}": stats.norm(0, 0.1) for i in range(3)},
    "gaussian_blur": {"sigma": _uniform(0.1, 2)},
    "median_blur": {"radius": stats.randint(1, 3)},
    "bilateral_blur": {"color": _uniform(0, 0.3)},
    "gaussian_noise": {
        "sigma": _uniform(0, 0.05),
        "noise_offset": _uniform(0, 2**24 - 3 * SIZE**2),
    },
    "erase": {"noise_offset": _uniform(0, 2**24 - 3 * SIZE**2)},
    "mixup": {"partner_fraction": stats.beta(0.2, 0.2)},
    "cutmix": {},
}


def _convert(name: str, parameters: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Converts sampled parameters to those that DISTRIBUTIONS lists."""
    if name == "shift":
        return {key: np.rint(SIZE * value) for key, value in parameters.items()}
    if name == "shear":
        x_degrees, y_degrees = parameters["x_degrees"], parameters["y_degrees"]
        assert ((x_degrees == 0) | (y_degrees == 0)).all()
        return {"sum": x_degrees + y_degrees}
    if name == "crop":
        return {"area": parameters["width"] * parameters["height"]}
    if name == "pca_noise":
        colors = np.stack([parameters[c] for c in ("red", "green", "blue")])
        return {f"alpha{i}": row for i, row in enumerate(np.linalg.solve(COLOR_AXES, colors))}
    return parameters


def _build(name: str, **settings: Any) -> Operation:
    operation = parse_operation({"name": name, **settings})
    assert isinstance(operation, Operation)
    return operation


def _images(count: int) -> Any:
    return tf.constant(np.stack([build_texture(SIZE, SIZE, seed=seed) for seed in range(count)]))


def _render_views(
    operation: Operation, renderer: str, images: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Renders a batch with one operation; also returns which images it applies to, bool [B]."""
    plan = build_plan(operation, size=SIZE)
    views = sample_views(plan, len(images))
    built = build_plan_renderer(plan, renderer)
    if isinstance(operation, MixingOperation):
        found = built.mix(images, views.mixing[0])
    else:
        found = built.render(images, views)
    return np.asarray(found), sample_operations(plan, len(images))[0].applied


def test_every_row_is_tested() -> None:
    assert list(ZERO) == list(DISTRIBUTIONS) == NAMES


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_row_has_a_dated_reference_and_a_main_setting(name: str) -> None:
    row = AUGMENTATIONS[name]
    assert row.operation.model_fields["name"].default == name
    assert re.search(r"\b(19|20)\d\d\b", row.reference)
    assert row.operation.main_setting in row.operation.model_fields


@pytest.mark.parametrize("name", NAMES)
def test_samples_have_the_documented_distribution(name: str) -> None:
    settings = {"size": 5} if name == "median_blur" else {}
    (found,) = sample_operations(build_plan(_build(name, **settings), size=SIZE), 4000)
    values = _convert(name, found.parameters)
    for key, expected in DISTRIBUTIONS[name].items():
        if isinstance(expected.dist, stats.rv_discrete):
            support = np.arange(expected.support()[0], expected.support()[1] + 1)
            counts = [(values[key] == number).sum() for number in support]
            assert sum(counts) == 4000
            assert stats.chisquare(counts, 4000 * expected.pmf(support)).pvalue > 0.001
        else:
            assert stats.kstest(values[key], expected.cdf).pvalue > 0.001, key


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_operation_applies_with_the_configured_probability(name: str, probability: float) -> None:
    (found,) = sample_operations(build_plan(_build(name, p=probability), size=SIZE), 4000)
    # Four standard deviations for 4,000 samples.
    limit = 4 * np.sqrt(probability * (1 - probability) / 4000)
    assert abs(found.applied.mean() - probability) <= limit


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("name", NAMES)
def test_strength_zero_is_the_identity(name: str, renderer: str) -> None:
    images = _images(4)
    found, _ = _render_views(_build(name, **{"p": 1, **ZERO[name]}), renderer, images)
    np.testing.assert_array_equal(found, images)


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("name", NAMES)
def test_only_images_the_operation_applies_to_change(name: str, renderer: str) -> None:
    images = _images(12)
    found, applied = _render_views(_build(name, p=0.5, **VISIBLE.get(name, {})), renderer, images)
    changed = (found != images.numpy()).any(axis=(1, 2, 3))
    assert 0 < applied.sum() < 12
    assert not changed[~applied].any()
    # A sample may change nothing, such as a shift by zero pixels.
    assert changed[applied].sum() >= applied.sum() - 1


@pytest.mark.parametrize("name", NAMES)
def test_samples_differ_within_a_batch_and_do_not_depend_on_it(name: str) -> None:
    plan = build_plan(_build(name, p=0.5), size=SIZE)
    (together,) = sample_operations(plan, 64)
    assert len(np.unique(together.applied)) == 2
    if together.parameters and name != "median_blur":  # which has a single size by default
        rows = np.stack(list(together.parameters.values()))
        # There are 81 different shifts, of which 64 samples contain 44 on average.
        assert len(np.unique(rows, axis=1).T) > 35
    seed = tf.constant(7, tf.int64)
    for index in (0, 63):
        one = tf.constant([index], tf.int64)
        (alone,) = plan.sample_operations(seed, tf.zeros(1, tf.int64), one)
        assert bool(alone.applied[0]) == together.applied[index]
        for key, value in alone.parameters.items():
            assert float(value[0]) == pytest.approx(
                float(together.parameters[key][index]), rel=1e-6
            )


def test_repeated_operations_sample_independently() -> None:
    rotate = _build("rotate")
    first, second = sample_operations(build_plan(rotate, rotate, size=SIZE), 2000)
    correlation = np.corrcoef(first.parameters["degrees"], second.parameters["degrees"])[0, 1]
    assert abs(correlation) < 4 / np.sqrt(2000)


def test_later_operations_do_not_change_earlier_samples() -> None:
    rotate, zoom = _build("rotate"), _build("zoom")
    (alone,) = sample_operations(build_plan(rotate, size=SIZE), 50)
    first, _ = sample_operations(build_plan(rotate, zoom, size=SIZE), 50)
    np.testing.assert_array_equal(alone.parameters["degrees"], first.parameters["degrees"])


@pytest.mark.parametrize("count", [1, 2, 4])
def test_choose_applies_count_operations_with_equal_frequency(count: int) -> None:
    members = [_build(name) for name in ("rotate", "zoom", "brightness", "hue")]
    plan = build_plan(Choose(count=count, operations=tuple(members), p=0.8), size=SIZE)
    applied = np.stack([found.applied for found in sample_operations(plan, 4000)])
    assert set(applied.sum(axis=0)) == {0, count}
    assert abs((applied.sum(axis=0) > 0).mean() - 0.8) < 4 * np.sqrt(0.8 * 0.2 / 4000)
    expected = 0.8 * count / 4
    assert np.abs(applied.mean(axis=1) - expected).max() < 4 * np.sqrt(
        expected * (1 - expected) / 4000
    )


def test_choose_multiplies_with_its_members_own_probability() -> None:
    members = (_build("rotate", p=0.5), _build("zoom"))
    rotate, zoom = sample_operations(
        build_plan(Choose(count=1, operations=members), size=SIZE), 4000
    )
    assert not (rotate.applied & zoom.applied).any()
    assert abs(rotate.applied.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 4000)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "rotate", "degrees": 200}, r"rotate's degrees does not fit.*180; received 200"),
        ({"name": "rotate", "angle": 3}, r"Unknown setting of rotate 'angle'\..*degrees"),
        ({"degrees": 3}, r"has no name; expected a table such as .*; received \{'degrees': 3\}"),
        (
            {"name": "choose", "count": 2, "operations": [{"name": "rotate"}]},
            r"count above the number of its operations; expected a count of at most 1; received 2",
        ),
        (
            {"name": "choose", "operations": [{"name": "choose", "operations": [{"name": "hue"}]}]},
            r"choose contains another choose",
        ),
        ({"name": "choose", "operations": []}, r"choose's operations does not fit"),
    ],
)
def test_invalid_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_operation(settings)


def test_unknown_operation_suggests_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match=r"augmentation 'rotat'\. Did you mean 'rotate'"):
        parse_operation({"name": "rotat"})


def test_pca_noise_without_color_axes_raises() -> None:
    augmenter = Augmenter(AugmentConfig(policy="pca_noise"), Preprocessing(size=SIZE), seed=0)
    with pytest.raises(
        ValueError, match="pca_noise needs the principal components of the training images"
    ):
        augmenter.sample(tf.zeros(1, tf.int64), tf.zeros(1, tf.int64))
