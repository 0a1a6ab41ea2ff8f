"""Presets: each is a whole recipe, and each head goes with each of them."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.recipe.overrides import setting_paths
from pipelines.recipe.presets import HEADS, PRESETS
from pipelines.recipe.recipe import Recipe
from zoo.errors import UnknownNameError


@pytest.mark.parametrize("name", PRESETS)
def test_preset_completes_and_spells_everything_out(name: str) -> None:
    recipe = Recipe.from_preset(name).resolve()
    spelled = recipe.to_toml()
    # A preset is for any data set.
    for path in set(setting_paths(Recipe)) - {"data.source"}:
        value: Any = recipe
        for key in path.split("."):
            value = getattr(value, key)
        assert value is not None, path
        assert path.rpartition(".")[2] in spelled


@pytest.mark.parametrize("name", HEADS)
def test_head_preset_fits_every_kind_of_image(name: str) -> None:
    for kind in PRESETS:
        recipe = Recipe.from_preset(kind, head=name).resolve()
        dumped = recipe.model_dump(mode="json")
        for section, settings in HEADS[name].settings.items():
            assert settings.items() <= dumped[section].items()


def test_head_of_the_notes_is_what_they_recommend() -> None:
    recipe = Recipe.from_preset("digits", head="classic").resolve()
    assert recipe.head.initializer.startswith("he_")
    assert recipe.head.activation == "elu"
    assert recipe.head.hidden
    assert recipe.head.batch_norm
    assert (recipe.head.input_dropout, recipe.head.dropout) == (0.2, 0.5)
    assert recipe.optimizer.name == "nesterov"
    assert recipe.schedule.name == "constant"
    assert recipe.penalty.name == "none"


def test_unknown_head_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown head 'modem'\. Did you mean 'modern'"):
        Recipe.from_preset(head="modem")
