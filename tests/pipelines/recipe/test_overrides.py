"""Settings: what files and the command line may say, and how they are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.recipe.overrides import parse_overrides
from pipelines.recipe.recipe import Recipe
from zoo.errors import RecipeError


def test_overrides_read_values_as_toml_and_as_text_otherwise() -> None:
    parsed = parse_overrides(
        ["a.b=0.5", "a.c=[1, 2]", "a.d=true", "a.e=resnet50.imagenet", "a.f='x'", "s=x=y"]
    )
    values = {"b": 0.5, "c": [1, 2], "d": True, "e": "resnet50.imagenet", "f": "x"}
    assert parsed == {"a": values, "s": "x=y"}


@pytest.mark.parametrize(
    ("content", "message"),
    [("a = ", "is not valid TOML"), ("[head]\ndropot = 1", "Did you mean 'head.dropout'")],
)
def test_recipe_file_that_is_wrong(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(content)
    with pytest.raises(RecipeError, match=message):
        Recipe.from_toml(file)


def test_recipe_file_that_is_absent(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.toml cannot be read: No such file"):
        Recipe.from_toml(tmp_path / "none.toml")


def test_setting_that_is_no_text_is_refused() -> None:
    # How Python hands over the argument of bytes that are not UTF-8.
    with pytest.raises(RecipeError, match=r"the recipe does not fit; expected a valid string"):
        Recipe.from_settings(parse_overrides(["caf\udce9=3"]))
