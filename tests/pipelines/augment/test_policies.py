"""Augmentation presets, and the policy of a recipe in each of its forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.augment.operations import Choose
from pipelines.augment.policies import POLICIES, AugmentConfig
from pipelines.augment.shorthand import format_policy
from pipelines.recipe.overrides import parse_overrides
from pipelines.recipe.presets import PRESETS
from pipelines.recipe.recipe import Recipe
from pipelines.sources.listing.catalog import SOURCES
from tests.support.rendering import build_plan, sample_operations
from zoo.errors import RecipeError, UnknownNameError


def _operation_names(policy: str) -> set[str]:
    found = set()
    for operation in AugmentConfig(policy=policy).policy:
        found.add(operation.name)
        if isinstance(operation, Choose):
            found |= {member.name for member in operation.operations}
    return found


@pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
def test_preset_formats_as_it_is_written(policy: Any) -> None:
    config = AugmentConfig(policy=policy.name)
    assert format_policy(config.policy) == policy.operations
    expected = f"{policy.name}: {policy.operations}" if policy.operations else policy.name
    assert str(config) == expected


def test_presets_avoid_operations_that_change_the_class() -> None:
    flips = {"flip_lr", "flip_ud", "transpose"}
    assert not _operation_names("digits") & (flips | {"rotate"})
    assert not _operation_names("medical") & flips
    assert _operation_names("none") == set()
    assert "flip_lr" in _operation_names("photo")
    assert len(_operation_names("strong")) > 12


def test_strong_applies_two_operations_of_its_group() -> None:
    plan = build_plan(*AugmentConfig(policy="strong").policy, size=64)
    applied = np.stack([found.applied for found in sample_operations(plan, 500)])
    # The group stands between flip and crop at the front and erase at the end.
    assert (applied[2:-1].sum(axis=0) == 2).all()


@pytest.mark.parametrize("kind", SOURCES.values(), ids=list(SOURCES))
def test_every_source_preset_has_its_policy(kind: Any) -> None:
    recipe = Recipe.from_preset(kind.preset)
    expected = kind.preset if kind.preset in POLICIES else "photo"
    assert str(recipe.augment) == f"auto: none or {expected}"
    assert str(recipe.resolve().augment).startswith(expected + ":")


@pytest.mark.parametrize("preset", PRESETS)
def test_recipe_writes_its_policy_as_a_list_of_tables(preset: str, tmp_path: Path) -> None:
    recipe = Recipe.from_preset(preset).resolve()
    file = tmp_path / "recipe.toml"
    file.write_text(recipe.to_toml(), encoding="utf-8")
    assert Recipe.from_toml(file).resolve() == recipe
    measured = recipe.with_measured(policy=recipe.augment.operations)
    file.write_text(measured.to_toml(), encoding="utf-8")
    written = "[[augment.policy]]" if recipe.augment.policy else "policy = []"
    assert written in file.read_text()
    again = Recipe.from_toml(file).resolve()
    assert (again.augment, again.to_measure) == (measured.augment, measured.to_measure)


@pytest.mark.parametrize(
    ("policy", "blends"),
    [
        ("photo", False),
        ("photo|mixup", True),
        ("choose(1, rotate(5), cutmix)", True),
        ("none", False),
    ],
)
def test_mixing_needs_two_images_in_a_batch(policy: str, blends: bool) -> None:
    layer = {"augment": {"policy": policy}, "input": {"batch_size": 1}}
    recipe = Recipe.from_settings(layer)
    assert recipe.augment.blends is blends
    if blends:
        with pytest.raises(RecipeError, match=r"blends images of a batch.*batch_size of 2 or more"):
            recipe.resolve()
    else:
        recipe.resolve()


def test_policy_is_set_by_name_shorthand_or_tables() -> None:
    by_name = Recipe.from_settings(parse_overrides(["augment.policy=medical"]))
    assert str(by_name.augment).startswith("medical: ")
    shorthand = Recipe.from_settings(parse_overrides(["augment.policy=flip_lr(0.5)|rotate(15)"]))
    tables = Recipe.from_settings(
        {"augment": {"policy": [{"name": "flip_lr"}, {"name": "rotate", "degrees": 15}]}}
    )
    assert shorthand.augment == tables.augment
    # Settings of earlier layers, such as the border, stay.
    kept = Recipe.from_settings({"augment": {"border": "black"}}, {"augment": {"policy": "photo"}})
    assert kept.augment.border == "black"


@pytest.mark.parametrize(
    ("setting", "kind", "message"),
    [
        ("augment.policy=rotate(200)", RecipeError, r"rotate's degrees does not fit.*received 200"),
        ("augment.policy=rotate(", RecipeError, r"the policy is not valid shorthand"),
        ("augment.policy=photos", UnknownNameError, r"Did you mean 'photo'"),
        ("augment.policy=3", RecipeError, r"augment\.policy does not fit"),
        ("augment.policy=[3]", RecipeError, r"augment\.policy does not fit"),
        ("augment.flip=0.5", RecipeError, r"Unknown recipe key 'augment\.flip'"),
        ("augment.border=mirror", RecipeError, r"augment\.border does not fit"),
    ],
)
def test_invalid_policy_raises_one_line(setting: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        Recipe.from_settings(parse_overrides([setting]))
    assert "\n" not in str(caught.value)
