"""Policy shorthand: round trips, defaults, presets and errors."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from pipelines.augment.operations import AUGMENTATIONS, parse_operation
from pipelines.augment.policies import AugmentConfig
from pipelines.augment.shorthand import format_policy, parse_policy
from tests.support.policy_strategies import policies
from zoo.errors import RecipeError, UnknownNameError


@given(policies())
def test_policy_round_trips_through_shorthand(policy: list[dict[str, Any]]) -> None:
    operations = tuple(map(parse_operation, policy))
    text = format_policy(operations)
    assert tuple(map(parse_operation, parse_policy(text))) == operations
    assert AugmentConfig.model_validate({"policy": text}).policy == operations


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if name != "choose"])
def test_name_alone_parses_to_the_defaults(name: str) -> None:
    (settings,) = parse_policy(name)
    assert parse_operation(settings) == AUGMENTATIONS[name].operation()
    assert parse_policy(f"{name}()") == (settings,)


@pytest.mark.parametrize(
    "text",
    [
        "flip_lr(0.5)|rotate(15)|erase(0.25)",
        "crop(0.6, aspect=1.2)|erase(0.5, fill=black)",
        "rotate(0.1, p=0.333)|shift(1e-05)",
        "choose(2, rotate(30), flip_lr(0.5), erase(0.1, area=0.2), p=0.5)|hue(5)",
    ],
)
def test_shorthand_formats_as_it_is_written(text: str) -> None:
    assert format_policy(map(parse_operation, parse_policy(text))) == text


def test_preset_names_expand_to_their_operations() -> None:
    photo = AugmentConfig(policy="photo").policy
    more = AugmentConfig(policy="photo | gaussian_noise(0.1)").policy
    assert more[:-1] == photo
    assert more[-1].name == "gaussian_noise"
    assert AugmentConfig(policy="none").policy == AugmentConfig(policy=" ").policy == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "rotate(3",
            r"not valid shorthand; expected operations joined by \|.*received 'rotate\(3'",
        ),
        ("rotate(3, 4)", r"expected all settings of rotate after the first by name"),
        ("rotate(a.b)", r"not valid shorthand"),
        ("rotate(3)(4)", r"not valid shorthand"),
        ("rotate & zoom", r"not valid shorthand"),
        ("rotate(3, degrees=4)", r"not valid shorthand"),
        ("rotate(*[3])", r"not valid shorthand"),
        ("__import__('os')", r"Unknown augmentation '__import__'"),
        ("photo(3)", r"expected photo without brackets, since a preset has no settings"),
        ("rotat(3)", r"Unknown augmentation 'rotat'\. Did you mean 'rotate'"),
    ],
)
def test_invalid_shorthand_is_shown(text: str, message: str) -> None:
    with pytest.raises((RecipeError, UnknownNameError), match=message) as caught:
        parse_policy(text, {"photo": "flip_lr(0.5)"})
    assert "\n" not in str(caught.value)
