"""Preparation of a job: its run folder, its recipe, its images."""

from __future__ import annotations

import logging
from pathlib import Path

from pipelines.recipe.recipe import Recipe
from pipelines.sources.catalogue import kind_of, preset_of
from pipelines.sources.dataset import open_source
from pipelines.sources.describe import describe
from pipelines.sources.source import Source
from pipelines.storage.run_folder import RunFolder

logger = logging.getLogger(__name__)


def claim_run(
    data: str | Path, recipe: Recipe | None, out: str | Path, *, resume: bool
) -> tuple[RunFolder, Recipe]:
    """Checks that a job can be done where it is to be, and writes nothing.

    Args:
        data: DATA as the command line takes it; empty takes the recipe's.
        recipe: What to do; left out, that of the run to go on with, or the preset that
            suits the data.
        out: The run's directory, new unless `resume`.
        resume: Go on where an interrupted run stood.

    Returns:
        The run, and the recipe, completed, with the data's lasting name.

    Raises:
        RecipeError: The recipe does not fit itself.
        RunError: `out` is taken, or was made by another recipe.
    """
    run = RunFolder.claim(Path(out), resume=resume)
    if recipe is None:
        resumable = resume and run.recipe_file.is_file()
        recipe = run.recipe if resumable else Recipe.preset(preset_of(str(data)))
    source_name = lasting_name(str(data) or recipe.data.source)
    recipe = recipe.completed().model_copy(
        update={"data": recipe.data.model_copy(update={"source": source_name})}
    )
    recipe = run.with_its_engine(recipe)
    run.check_same(recipe)
    return run, recipe


def open_images(recipe: Recipe, name: str | Path, *, labeled: bool = True) -> Source:
    """Reads the images a recipe trains on, and says what was found.

    Args:
        recipe: Its `data.source` is read.
        name: What the user calls them.
        labeled: Whether their labels are to be learned.

    Raises:
        DataError: The images or labels cannot be trained on.
    """
    data = recipe.data
    source = open_source(
        data.source, data, seed=recipe.seed, tasks=recipe.asked_tasks, labeled=labeled
    )
    for line in describe(source):
        logger.info(line)
    counts = ", ".join(f"{len(examples)} {name}" for name, examples in source.splits.items())
    learned = _in_words(source) if labeled else "no labels wanted"
    logger.info(f"{name}: {learned}, {counts} images")
    return source


def _in_words(source: Source) -> str:
    said = {
        "single_label": "{count} classes",
        "multi_label": "{count} labels",
        "regression": "a number",
    }
    parts = []
    for task in source.tasks:
        what = said[task.kind].format(count=task.num_outputs)
        parts.append(what if task.bare else f"{task.name} ({what})")
    return ", ".join(parts)


def lasting_name(data: str) -> str:
    """Returns a name that means the same data set from any working folder.

    Args:
        data: DATA as the command line takes it.
    """
    on_disk = kind_of(data).name in ("folder", "csv")
    return str(Path(data).resolve()) if on_disk else data
