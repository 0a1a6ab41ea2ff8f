"""Search spaces: what is drawn from a valid one, and the errors of an invalid one."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Mapping
from typing import Any

import pytest

from tuning.hyperparameters.default_space import (
    HEAD_SPACE,
    add_fine_tuning,
    build_default_space,
)
from tuning.hyperparameters.space import SearchSpace
from zoo.errors import RecipeError, UnknownNameError

PATHS = ["head.dropout", "head.hidden", "head.activation", "penalty.name", "penalty.l1", "x.y.z"]


def accept(values: Mapping[str, Any]) -> None:
    """Accepts all values."""


def space_of(settings: Mapping[str, Any]) -> SearchSpace:
    return SearchSpace.from_settings(settings, PATHS, accept)


def draw(space: SearchSpace, seed: int) -> dict[str, Any]:
    """Draws every active hyperparameter once, as the oracles of KerasTuner do."""
    hyperparameters = space.build_hyperparameters()
    rng = random.Random(seed)
    hyperparameters.values = {}
    for hp in hyperparameters.space:
        if hyperparameters.is_active(hp):
            hyperparameters.values[hp.name] = hp.prob_to_value(rng.random())
    return space.decode(hyperparameters.values)


def test_space_file_is_drawn_from_as_written() -> None:
    settings = tomllib.loads(
        "[head]\n"
        "hidden = [[], [128, 64]]\n"
        "dropout = {min = 0.0, max = 0.5, step = 0.25, when = {head.hidden = [[128, 64]]}}\n"
        "[penalty]\n"
        'name = ["none", "l1"]\n'
        'l1 = {min = 1e-6, max = 1e-2, log = true, when = {"penalty.name" = ["l1"]}}\n'
    )
    space = space_of(settings)
    drawn = [draw(space, seed) for seed in range(60)]
    assert {tuple(values["head.hidden"]) for values in drawn} == {(), (128, 64)}
    for values in drawn:
        assert ("head.dropout" in values) == (values["head.hidden"] == [128, 64])
        assert ("penalty.l1" in values) == (values["penalty.name"] == "l1")
    assert {values.get("head.dropout") for values in drawn} == {None, 0.0, 0.25, 0.5}
    strengths = sorted(values["penalty.l1"] for values in drawn if "penalty.l1" in values)
    assert 1e-6 <= strengths[0] < 1e-5, "small strengths are drawn as often as large ones"
    assert 1e-3 < strengths[-1] <= 1e-2


def test_setting_with_several_domains_is_drawn_from_the_active_one() -> None:
    space = space_of(
        {
            "head.activation": ["relu", "tanh", "elu"],
            "head.dropout": [
                {"min": 0.0, "max": 0.1, "when": {"head.activation": ["relu", "elu"]}},
                {"min": 0.5, "max": 0.6, "when": {"head.activation": ["tanh"]}},
            ],
        }
    )
    for seed in range(30):
        values = draw(space, seed)
        assert (values["head.dropout"] >= 0.5) == (values["head.activation"] == "tanh")


def test_condition_on_a_conditional_setting_written_later_holds() -> None:
    space = space_of(
        {
            "head.dropout": {"min": 0, "max": 3, "when": {"head.activation": ["elu"]}},
            "head.activation": {"choice": ["relu", "elu"], "when": {"penalty.name": ["l1"]}},
            "penalty.name": ["none", "l1"],
        }
    )
    assert space.sorted_paths() == ["penalty.name", "head.activation", "head.dropout"]
    drawn = [draw(space, seed) for seed in range(60)]
    assert {frozenset(values) for values in drawn} == {
        frozenset({"penalty.name"}),
        frozenset({"penalty.name", "head.activation"}),
        frozenset({"penalty.name", "head.activation", "head.dropout"}),
    }
    assert {values.get("head.dropout") for values in drawn} == {None, 0, 1, 2, 3}


def test_every_value_is_checked_with_the_settings_it_depends_on() -> None:
    seen: list[dict[str, Any]] = []
    SearchSpace.from_settings(
        {
            "penalty.name": ["l1", "none"],
            "head.activation": {"choice": ["relu"], "when": {"penalty.name": ["l1"]}},
            "head.dropout": {"min": 0.0, "max": 0.9, "when": {"head.activation": ["relu"]}},
        },
        PATHS,
        lambda values: seen.append(dict(values)),
    )
    both = {"penalty.name": "l1", "head.activation": "relu"}
    assert seen == [
        {"penalty.name": "l1"},
        {"penalty.name": "none"},
        both,
        both | {"head.dropout": 0.0},
        both | {"head.dropout": 0.9},
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"head.dropout": {"min": 1.0, "max": 0.5}}, "head.dropout.*min below max"),
        ({"head.dropout": {"min": 0.0, "max": 1.0, "log": True}}, "log needs min above 0"),
        ({"head.dropout": {"min": 0.1, "max": 1.0, "step": 2.0}}, "no wider than the range"),
        ({"head.dropout": {"min": 0.1, "max": 1.0, "steps": 2}}, "head.dropout.steps"),
        ({"head.dropout": {"choice": [1, 2], "min": 0}}, "a choice has no min"),
        ({"head.dropout": [0.5, 0.5]}, "repeats a value"),
        ({"head.dropout": []}, "head.dropout"),
        ({"head.dropout": 0.5}, "head.dropout"),
        ({}, "the space is empty"),
        (
            {"head.dropout": {"min": 0.0, "max": 0.5, "when": {"penalty.name": ["l1"]}}},
            "depends on penalty.name, which is not searched",
        ),
        (
            {
                "penalty.name": ["none"],
                "head.dropout": {"min": 0.0, "max": 0.5, "when": {"penalty.name": ["l1"]}},
            },
            'never has; expected "none"; received "l1"',
        ),
        (
            {
                "penalty.l1": {"min": 0.0, "max": 0.5},
                "head.dropout": {"min": 0.0, "max": 0.5, "when": {"penalty.l1": [0.5]}},
            },
            "which is not a single choice",
        ),
        (
            {
                "penalty.name": {"choice": ["l1"], "when": {"head.activation": ["elu"]}},
                "head.activation": {"choice": ["elu"], "when": {"penalty.name": ["l1"]}},
            },
            "depends on itself; .*penalty.name → head.activation → penalty.name",
        ),
    ],
)
def test_invalid_space_raises(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        space_of(settings)


def test_unknown_path_raises_with_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean 'head\.dropout'"):
        space_of({"head": {"droput": [0.1, 0.2]}})


def test_default_space_draws_compatible_settings() -> None:
    space = SearchSpace.from_settings(HEAD_SPACE, list(HEAD_SPACE), accept)
    drawn = [draw(space, seed) for seed in range(200)]
    for values in drawn:
        penalty = values["penalty.name"]
        assert ("penalty.l1" in values) == (penalty in ("l1", "elastic_net"))
        assert ("penalty.l2" in values) == (penalty in ("l2", "elastic_net"))
        assert ("head.activation" in values) == bool(values["head.hidden"])
        assert ("head.initializer" in values) == bool(values["head.hidden"])
        if values.get("head.activation") == "selu":
            assert values["head.initializer"] == "lecun_normal"
        if values["optimizer.name"] == "rmsprop":
            assert values["optimizer.learning_rate"] <= 0.01
    choices = {values["optimizer.name"] for values in drawn}
    assert choices == {"nesterov", "rmsprop", "adam"}


def test_choices_are_those_of_all_domains_and_largest_of_their_integers() -> None:
    settings = build_default_space([2, 5])
    space = SearchSpace.from_settings(settings, list(settings), accept)
    assert space.choices("head.activation") == ("relu", "leaky_relu", "elu", "selu", "tanh")
    assert space.choices("optimizer.learning_rate") == space.choices("stopping.patience") == ()
    assert space.largest("backbone.truncate_blocks") == 5
    assert space.largest("stopping.patience") == 0


@pytest.mark.parametrize("base", [HEAD_SPACE, build_default_space()], ids=["steps", "default"])
def test_rates_of_fine_tuning_are_drawn_where_there_is_any(base: Mapping[str, Any]) -> None:
    settings = add_fine_tuning(base, 2)
    space = SearchSpace.from_settings(settings, list(settings), accept)
    drawn = [draw(space, seed) for seed in range(60)]
    assert {values["fine_tune.blocks"] for values in drawn} == {0, 1, 2}
    for values in drawn:
        for name in ("learning_rate", "block_decay"):
            assert (f"fine_tune.{name}" in values) == bool(values["fine_tune.blocks"])
