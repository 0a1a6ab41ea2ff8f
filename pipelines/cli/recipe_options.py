"""The recipe that the options of a command make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.recipe.recipe import Recipe


def find_started(folder: Path, resume: bool) -> Path | None:
    """Returns the recipe file of the job to resume: the user need not give it again.

    Args:
        folder: The run folder.
        resume: Whether the job is resumed.
    """
    file = folder / "recipe.toml"
    return file if resume and file.is_file() else None


def build_recipe(
    data: str | None,
    file: Path | None,
    *,
    preset: str | None = None,
    backbone: str | None = None,
    head: str | None = None,
    assignments: list[str] | None = None,
) -> Recipe:
    """Returns the recipe of a command.

    Args:
        data: DATA; None takes the file's.
        file: Of `--recipe`, instead of the preset for DATA.
        preset: A preset instead of the one that suits DATA.
        backbone: Of `--backbone`.
        head: Of `--head`.
        assignments: Of `--set`.

    Raises:
        InputError: There is no data set to work on.
        RecipeError: A setting is unknown or out of range, or the file is no recipe.
        UnknownNameError: There is no such preset, head or backbone.
    """
    from pipelines.recipe.overrides import parse_overrides
    from pipelines.recipe.recipe import Recipe

    return Recipe.for_data(
        data,
        file=file,
        preset=preset,
        backbone=backbone,
        head=head,
        settings=parse_overrides(assignments or []),
    )
