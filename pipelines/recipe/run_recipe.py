"""The recipe of a run on disk, which a finished run can read without other files."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from pipelines.recipe.overrides import read_settings
from pipelines.recipe.recipe import Recipe
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.recipe.sections import WITHOUT_FILES
from zoo.config import first_problem
from zoo.errors import RecipeError, WeightsError


def read_run_recipe(file: Path, *, finished: bool) -> ResolvedRecipe:
    """Reads recipe.toml of a run.

    Args:
        file: The file.
        finished: Whether the run has its model. Then the file of weights that its backbone
            started from is no longer needed: the model has all weights, and the recipe
            every decision.

    Raises:
        RecipeError: The file is damaged.
        WeightsError: The run needs a file of weights that is absent or damaged.
    """
    try:
        return Recipe.from_toml(file).resolve()
    except WeightsError:
        if not finished:
            raise
    try:
        return ResolvedRecipe.model_validate(read_settings(file), context={WITHOUT_FILES: True})
    except ValidationError as error:
        problem = first_problem(error)
        raise RecipeError(f"{file}: {'.'.join(problem.path)}: {problem.message}") from None
