"""Every row of AUGMENTATIONS: probability, range, identity at strength zero, draws of its own."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from pipelines.augment import AUGMENTATIONS, AugmentConfig
from pipelines.augment.augmenter import Augmenter
from pipelines.augment.base import Operation
from pipelines.augment.mixing import Labels
from pipelines.augment.operations import Choose, read_operation
from tests.support.rendering import (
    AXES,
    RENDERERS,
    draw,
    plan_of,
    renderer_of,
    sample,
    textured,
)
from zoo.errors import RecipeError, UnknownNameError
from zoo.preprocessing import Preprocessing

SIZE = 32
NAMES = [name for name in AUGMENTATIONS if name != "choose"]

# The settings at which an operation does nothing; it has none if only `p` says how much.
ZERO: dict[str, dict[str, Any]] = {
    "flip_lr": {"p": 0},
    "flip_ud": {"p": 0},
    "transpose": {"p": 0},
    "shift": {"share": 0},
    "rotate": {"degrees": 0},
    "shear": {"degrees": 0},
    "crop": {"area": 1},
    "rescale": {"ratio": 1},
    "zoom": {"ratio": 1},
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

# Settings at which nearly every draw shows in 8 bits.
VISIBLE: dict[str, dict[str, Any]] = {
    "pca_noise": {"sigma": 2},
    "gaussian_blur": {"min_sigma": 1},
    "bilateral_blur": {"color": 1},
    "mixup": {"alpha": 8},
}


def _uniform(low: float, high: float) -> Any:
    return stats.uniform(low, high - low)


# What is drawn, by the distribution of each value that the defaults promise.
DRAWN: dict[str, dict[str, Any]] = {
    "flip_lr": {},
    "flip_ud": {},
    "transpose": {},
    "shift": {"across": stats.randint(-4, 5), "down": stats.randint(-4, 5)},
    "rotate": {"degrees": _uniform(-15, 15)},
    "shear": {"sum": _uniform(-17, 17)},
    "crop": {"share": _uniform(0.08, 1)},
    "rescale": {
        "across": stats.loguniform(1 / 1.3333, 1.3333),
        "down": stats.loguniform(1 / 1.3333, 1.3333),
    },
    "zoom": {"factor": stats.loguniform(1 / 1.4142, 1.4142)},
    "perspective": {f"{side}{corner}": _uniform(0, 0.25) for side in "xy" for corner in range(4)},
    "brightness": {"delta": _uniform(-0.125, 0.125)},
    "contrast": {"factor": _uniform(0.6, 1.4)},
    "saturation": {"factor": _uniform(0.6, 1.4)},
    "hue": {"degrees": _uniform(-18, 18)},
    "grayscale": {},
    "pca_noise": {f"alpha{i}": stats.norm(0, 0.1) for i in range(3)},
    "gaussian_blur": {"sigma": _uniform(0.1, 2)},
    "median_blur": {"reach": stats.randint(1, 3)},
    "bilateral_blur": {"color": _uniform(0, 0.3)},
    "gaussian_noise": {"sigma": _uniform(0, 0.05), "place": _uniform(0, 2**24 - 3 * SIZE**2)},
    "erase": {"place": _uniform(0, 2**24 - 3 * SIZE**2)},
    "mixup": {"share": stats.beta(0.2, 0.2)},
    "cutmix": {},
}


def _in_units(name: str, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Values as DRAWN names them."""
    if name == "shift":
        return {key: np.rint(SIZE * value) for key, value in values.items()}
    if name == "shear":
        assert ((values["across"] == 0) | (values["down"] == 0)).all()
        return {"sum": values["across"] + values["down"]}
    if name == "crop":
        return {"share": values["width"] * values["height"]}
    if name == "pca_noise":
        colors = np.stack([values[c] for c in ("red", "green", "blue")])
        return {f"alpha{i}": row for i, row in enumerate(np.linalg.solve(AXES, colors))}
    return values


def _default(name: str, **settings: Any) -> Operation:
    operation = read_operation({"name": name, **settings})
    assert isinstance(operation, Operation)
    return operation


def _images(count: int) -> Any:
    return tf.constant(np.stack([textured(SIZE, SIZE, seed=seed) for seed in range(count)]))


def _views(operation: Operation, renderer: str, images: Any) -> tuple[np.ndarray, np.ndarray]:
    """Renders a batch by one operation; says which images it was to change."""
    plan = plan_of(operation, size=SIZE)
    views = sample(plan, len(images))
    drawer = renderer_of(plan, renderer)
    if isinstance(operation, Labels):
        found = drawer.mix(images, views.labels[0])
    else:
        found = drawer.render(images, views)
    return np.asarray(found), draw(plan, len(images))[0].applied


def test_every_row_is_tested() -> None:
    assert list(ZERO) == list(DRAWN) == NAMES


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_row_says_what_it_does_and_where_it_comes_from(name: str) -> None:
    row = AUGMENTATIONS[name]
    assert row.operation.model_fields["name"].default == name
    assert re.search(r"\b(19|20)\d\d\b", row.reference)
    assert row.operation.main in row.operation.model_fields


@pytest.mark.parametrize("name", NAMES)
def test_draws_have_the_range_of_the_recipe(name: str) -> None:
    settings = {"size": 5} if name == "median_blur" else {}
    (found,) = draw(plan_of(_default(name, **settings), size=SIZE), 4000)
    values = _in_units(name, found.values)
    for key, expected in DRAWN[name].items():
        if isinstance(expected.dist, stats.rv_discrete):
            support = np.arange(expected.support()[0], expected.support()[1] + 1)
            counts = [(values[key] == number).sum() for number in support]
            assert sum(counts) == 4000
            assert stats.chisquare(counts, 4000 * expected.pmf(support)).pvalue > 0.001
        else:
            assert stats.kstest(values[key], expected.cdf).pvalue > 0.001, key


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_draws_have_the_probability_of_the_recipe(name: str, probability: float) -> None:
    (found,) = draw(plan_of(_default(name, p=probability), size=SIZE), 4000)
    # Four standard deviations of 4,000 draws.
    limit = 4 * np.sqrt(probability * (1 - probability) / 4000)
    assert abs(found.applied.mean() - probability) <= limit


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("name", NAMES)
def test_strength_zero_is_the_identity(name: str, renderer: str) -> None:
    images = _images(4)
    found, _ = _views(_default(name, **{"p": 1, **ZERO[name]}), renderer, images)
    np.testing.assert_array_equal(found, images)


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("name", NAMES)
def test_images_are_changed_where_it_was_drawn_and_nowhere_else(name: str, renderer: str) -> None:
    images = _images(12)
    found, applied = _views(_default(name, p=0.5, **VISIBLE.get(name, {})), renderer, images)
    changed = (found != images.numpy()).any(axis=(1, 2, 3))
    assert 0 < applied.sum() < 12
    assert not changed[~applied].any()
    # A draw may happen to be one that shows nothing, such as a shift by no pixel.
    assert changed[applied].sum() >= applied.sum() - 1


@pytest.mark.parametrize("name", NAMES)
def test_images_of_a_batch_get_draws_of_their_own_in_any_batch(name: str) -> None:
    plan = plan_of(_default(name, p=0.5), size=SIZE)
    (together,) = draw(plan, 64)
    assert len(np.unique(together.applied)) == 2
    if together.values and name != "median_blur":  # which has but one size to draw
        rows = np.stack(list(together.values.values()))
        # Of a shift there are 81, of which 64 draws show 44 on the average.
        assert len(np.unique(rows, axis=1).T) > 35
    seed = tf.constant(7, tf.int64)
    for index in (0, 63):
        one = tf.constant([index], tf.int64)
        (alone,) = plan.draw(seed, tf.zeros(1, tf.int64), one)
        assert bool(alone.applied[0]) == together.applied[index]
        for key, value in alone.values.items():
            assert float(value[0]) == pytest.approx(float(together.values[key][index]), rel=1e-6)


def test_operations_of_one_kind_draw_each_for_itself() -> None:
    rotate = _default("rotate")
    first, second = draw(plan_of(rotate, rotate, size=SIZE), 2000)
    correlation = np.corrcoef(first.values["degrees"], second.values["degrees"])[0, 1]
    assert abs(correlation) < 4 / np.sqrt(2000)


def test_what_comes_later_in_a_policy_changes_no_draw_before_it() -> None:
    rotate, zoom = _default("rotate"), _default("zoom")
    (alone,) = draw(plan_of(rotate, size=SIZE), 50)
    first, _ = draw(plan_of(rotate, zoom, size=SIZE), 50)
    np.testing.assert_array_equal(alone.values["degrees"], first.values["degrees"])


@pytest.mark.parametrize("count", [1, 2, 4])
def test_choose_applies_so_many_and_each_as_often(count: int) -> None:
    members = [_default(name) for name in ("rotate", "zoom", "brightness", "hue")]
    plan = plan_of(Choose(count=count, operations=tuple(members), p=0.8), size=SIZE)
    applied = np.stack([found.applied for found in draw(plan, 4000)])
    assert set(applied.sum(axis=0)) == {0, count}
    assert abs((applied.sum(axis=0) > 0).mean() - 0.8) < 4 * np.sqrt(0.8 * 0.2 / 4000)
    share = 0.8 * count / 4
    assert np.abs(applied.mean(axis=1) - share).max() < 4 * np.sqrt(share * (1 - share) / 4000)


def test_choose_counts_a_members_own_probability_besides() -> None:
    members = (_default("rotate", p=0.5), _default("zoom"))
    rotate, zoom = draw(plan_of(Choose(count=1, operations=members), size=SIZE), 4000)
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
            r"more than there are; expected a count of at most 1; received 2",
        ),
        (
            {"name": "choose", "operations": [{"name": "choose", "operations": [{"name": "hue"}]}]},
            r"a choose stands inside of a choose",
        ),
        ({"name": "choose", "operations": []}, r"choose's operations does not fit"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        read_operation(settings)


def test_unknown_operation_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"augmentation 'rotat'\. Did you mean 'rotate'"):
        read_operation({"name": "rotat"})


def test_operation_that_needs_the_training_images_says_so() -> None:
    augmenter = Augmenter(AugmentConfig(policy="pca_noise"), Preprocessing(size=SIZE), seed=0)
    with pytest.raises(ValueError, match="pca_noise needs the training images' principal axes"):
        augmenter.sample(tf.zeros(1, tf.int64), tf.zeros(1, tf.int64))
