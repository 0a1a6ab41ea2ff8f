"""Settings of the data that a model is evaluated on, over those it was trained with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipelines.recipe.overrides import merge_settings, nested
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.sources.config import DataConfig
from zoo.errors import RecipeError
from zoo.table import unknown_name
from zoo.tasks import Task


def adapt_to_data(
    recipe: ResolvedRecipe, tasks: Sequence[Task], settings: Mapping[str, Any]
) -> tuple[DataConfig, tuple[Task, ...]]:
    """Returns how to read a data set that is made otherwise than the one of training.

    Args:
        recipe: The recipe of the model.
        tasks: Its tasks.
        settings: Values by path, such as `data.suffix` or `tasks.age.column`, or nested.

    Raises:
        RecipeError: A setting is none of the section `data` and no column of a task, or does
            not fit.
        UnknownNameError: There is no such setting or task.
    """
    given: dict[str, Any] = {}
    for path, value in settings.items():
        merge_settings(given, nested(path, value))
    data: dict[str, Any] = recipe.data.model_dump()
    merge_settings(data, given.pop("data", {}))
    columns = {name: _given_column(name, values) for name, values in given.pop("tasks", {}).items()}
    if given:
        raise RecipeError(
            "the model is what it is: only how data are read can be set",
            expected="settings of the section data, or tasks.NAME.column",
            received=", ".join(given),
        )
    for name in columns:
        if name not in [task.name for task in tasks]:
            raise unknown_name("task", name, [task.name for task in tasks])
    named = tuple(replace(task, column=columns.get(task.name, task.column)) for task in tasks)
    return type(recipe.data).from_arguments(data), named


def _given_column(task: str, values: Any) -> str:
    """Returns the column that is set for a task, if nothing else is."""
    if not isinstance(values, Mapping) or list(values) != ["column"]:
        raise RecipeError(
            "the model is what it is: only how data are read can be set",
            expected=f"tasks.{task}.column",
            received=f"tasks.{task} = {values!r}",
        )
    return str(values["column"])
