"""Preparation of a job: its run folder, its recipe, its images."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from pipelines.recipe.recipe import Recipe
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.recipe.settings import RecipeSettings
from pipelines.sources.examining.kept_images import KeptImages
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.opening.describe import describe
from pipelines.sources.source import Source
from pipelines.storage.run_folder import RunFolder
from pipelines.training.more_epochs import count_added_epochs

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def claim_run(
    data: str | Path | None,
    recipe: RecipeSettings | None,
    out: str | Path,
    *,
    resume: bool,
) -> Iterator[tuple[RunFolder, ResolvedRecipe]]:
    """Claims a job's run folder, and resolves its recipe; nobody else writes into it inside.

    Args:
        data: DATA as the command line takes it; None takes the recipe's.
        recipe: What to do; None takes that of the run to resume, or the preset
            that suits the data.
        out: The run folder, new unless `resume`.
        resume: Whether an interrupted run in it is continued, or a run gets more epochs.

    Raises:
        InputError: There is no data set to work on.
        RecipeError: Two settings exclude each other.
        RunError: `out` is taken, or was started with another recipe, or cannot get longer.
        TrainingError: The folder was removed before the body ended.
    """
    with RunFolder.claim(Path(out), resume=resume) as folder:
        if recipe is None:
            started = resume and folder.recipe_file.is_file()
            file = folder.recipe_file if started else None
            recipe = Recipe.for_data(data, file=file)
        resolved = folder.with_its_choices(Recipe.of(recipe).for_source(data).resolve())
        added = count_added_epochs(folder, resolved)
        folder.check_same(resolved, longer=added > 0)
        if added:
            logger.info(f"{added} epochs more than before")
        yield folder, resolved


def open_images(recipe: ResolvedRecipe, *, labeled: bool = True) -> Source:
    """Opens the images a recipe trains on, and logs what was found.

    Args:
        recipe: Data, splits and tasks.
        labeled: Whether labels are learned.

    Raises:
        DataError: The images or labels cannot be trained on.
    """
    data = recipe.data
    source = open_source(
        recipe.source,
        data,
        seed=recipe.seed,
        tasks=recipe.unbound_tasks,
        labeled=labeled,
        kept=KeptImages(recipe.input.preprocessing.decoder, recipe.input.cache_mib),
    )
    for line in describe(source):
        logger.info(line)
    counts = ", ".join(f"{len(examples)} {name}" for name, examples in source.splits.items())
    learned = _describe_tasks(source) if labeled else "labels not read"
    logger.info(f"{recipe.source}: {learned}, {counts} images")
    return source


def _describe_tasks(source: Source) -> str:
    formats = {
        "single_label": "{count} classes",
        "multi_label": "{count} labels",
        "regression": "a number",
    }
    parts = []
    for task in source.tasks:
        outputs = formats[task.kind].format(count=task.num_outputs)
        parts.append(outputs if task.bare else f"{task.name} ({outputs})")
    return ", ".join(parts)
