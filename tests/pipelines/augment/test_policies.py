"""Policies: what presets promise, and what a recipe makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.augment import POLICIES, AugmentConfig
from pipelines.augment.operations import Choose
from pipelines.augment.shorthand import print_policy
from pipelines.recipe.overrides import parse_overrides
from pipelines.recipe.presets import PRESETS
from pipelines.recipe.recipe import Recipe
from pipelines.sources.catalogue import SOURCES
from tests.support.rendering import draw, plan_of
from zoo.errors import RecipeError, UnknownNameError


def _names(policy: str) -> set[str]:
    found = set()
    for operation in AugmentConfig(policy=policy).policy:
        found.add(operation.name)
        if isinstance(operation, Choose):
            found |= {member.name for member in operation.operations}
    return found


@pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
def test_preset_is_written_as_it_is_printed(policy: Any) -> None:
    config = AugmentConfig(policy=policy.name)
    assert print_policy(config.policy) == policy.operations
    shown = f"{policy.name}: {policy.operations}" if policy.operations else policy.name
    assert str(config) == shown


def test_presets_leave_out_what_their_images_do_not_bear() -> None:
    flips = {"flip_lr", "flip_ud", "transpose"}
    assert not _names("digits") & (flips | {"rotate"})
    assert not _names("medical") & flips
    assert _names("none") == set()
    assert "flip_lr" in _names("photo")
    assert len(_names("strong")) > 12


def test_strong_changes_each_image_by_two_of_its_group() -> None:
    plan = plan_of(*AugmentConfig(policy="strong").policy, size=64)
    applied = np.stack([found.applied for found in draw(plan, 500)])
    # Between flip and crop at the front and erasing at the end.
    assert (applied[2:-1].sum(axis=0) == 2).all()


@pytest.mark.parametrize("kind", SOURCES.values(), ids=list(SOURCES))
def test_every_source_has_a_policy_of_its_own(kind: Any) -> None:
    policy = Recipe.preset(kind.preset).augment
    expected = kind.preset if kind.preset in POLICIES else "photo"
    assert str(policy).startswith(expected + ":")


@pytest.mark.parametrize("preset", PRESETS)
def test_recipe_writes_its_policy_as_a_list_of_tables(preset: str, tmp_path: Path) -> None:
    recipe = Recipe.preset(preset).completed()
    file = tmp_path / "recipe.toml"
    file.write_text(recipe.to_toml(), encoding="utf-8")
    written = "[[augment.policy]]" if recipe.augment.policy else "policy = []"
    assert written in file.read_text()
    assert Recipe.from_toml(file) == recipe


@pytest.mark.parametrize(
    ("policy", "blends"),
    [
        ("photo", False),
        ("photo|mixup", True),
        ("choose(1, rotate(5), cutmix)", True),
        ("none", False),
    ],
)
def test_blending_of_images_needs_two_in_a_batch(policy: str, blends: bool) -> None:
    layer = {"augment": {"policy": policy}, "input": {"batch_size": 1}}
    recipe = Recipe.from_settings(layer)
    assert recipe.augment.blends is blends
    if blends:
        with pytest.raises(RecipeError, match=r"blends images of a batch.*batch_size of 2 or more"):
            recipe.completed()
    else:
        recipe.completed()


def test_policy_is_set_by_name_by_shorthand_and_by_tables() -> None:
    by_name = Recipe.from_settings(parse_overrides(["augment.policy=medical"]))
    assert str(by_name.augment).startswith("medical: ")
    shorthand = Recipe.from_settings(parse_overrides(["augment.policy=flip_lr(0.5)|rotate(15)"]))
    tables = Recipe.from_settings(
        {"augment": {"policy": [{"name": "flip_lr"}, {"name": "rotate", "degrees": 15}]}}
    )
    assert shorthand.augment == tables.augment
    # What was set before, such as the border, stays.
    kept = Recipe.from_settings({"augment": {"border": "black"}}, {"augment": {"policy": "photo"}})
    assert kept.augment.border == "black"


@pytest.mark.parametrize(
    ("setting", "kind", "message"),
    [
        ("augment.policy=rotate(200)", RecipeError, r"rotate's degrees does not fit.*received 200"),
        ("augment.policy=rotate(", RecipeError, r"a policy cannot be read"),
        ("augment.policy=photos", UnknownNameError, r"Did you mean 'photo'"),
        ("augment.policy=3", RecipeError, r"augment\.policy does not fit"),
        ("augment.policy=[3]", RecipeError, r"augment\.policy does not fit"),
        ("augment.flip=0.5", RecipeError, r"Unknown recipe key 'augment\.flip'"),
        ("augment.border=mirror", RecipeError, r"augment\.border does not fit"),
    ],
)
def test_wrong_policy_is_one_line(setting: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        Recipe.from_settings(parse_overrides([setting]))
    assert "\n" not in str(caught.value)
