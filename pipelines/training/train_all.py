"""Training of many recipes: a run for each, here or on a cluster."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.recipe.recipe import Recipe
from pipelines.runtime.cluster import check_cluster, check_gpus, open_cluster
from pipelines.runtime.executor import Executor
from pipelines.runtime.task_loop import ATTEMPTS, run_tasks
from pipelines.training.train import train
from zoo.errors import InputError, WorkerError, ZooError

logger = logging.getLogger(__name__)

_Outcome = tuple[Mapping[str, Any] | None, str]


@dataclass(frozen=True)
class RecipeRun:
    """What became of a recipe.

    Args:
        name: The name of its file, without `.toml`.
        path: The run folder.
        metrics: metrics.json; None where training failed.
        failure: Why it failed, in a line; empty if it did not.
    """

    name: str
    path: Path
    metrics: Mapping[str, Any] | None = None
    failure: str = ""


def train_all(
    recipes: str | Path,
    data: str | Path | None = None,
    *,
    out: str | Path,
    settings: Mapping[str, Any] | None = None,
    cluster: str | None = None,
    insecure: bool = False,
    resume: bool = False,
) -> list[RecipeRun]:
    """Trains every recipe of a folder, as `train` does; one that fails does not end the others.

    Args:
        recipes: A folder of .toml files.
        data: DATA for all; None takes each recipe's.
        out: A folder of run folders, each with the name of its recipe.
        settings: Nested sections that override those of all recipes.
        cluster: Where they train: as `tune` takes it.
        insecure: Whether a cluster is used that runs what anybody sends.
        resume: Whether runs that are there go on, and finished ones count.

    Returns:
        What became of each, in the order of their names.

    Raises:
        ClusterError: The cluster cannot be reached, or refuses.
        InputError: There are no recipes, or `cluster` names none.
        RecipeError: A recipe does not fit itself; nothing is trained then.
    """
    check_cluster(cluster)
    out = Path(out).absolute()
    read = {
        file.stem: Recipe.for_data(data, file=file, settings=settings).for_source(data)
        for file in _list_recipes(Path(recipes))
    }
    with open_cluster(cluster, insecure=insecure) as executor:
        check_gpus(executor)
        logger.info(f"{len(read)} recipes, {executor.num_slots} at a time")
        found = {run.name: run for run in _train_on(executor, read, out, resume=resume)}
    return [found[name] for name in read]


def train_recipe(recipe: Recipe, out: Path, resume: bool) -> _Outcome:
    """Trains a recipe, as a task.

    Args:
        recipe: What to train, and on what.
        out: The run folder.
        resume: Whether a run that is there goes on.

    Returns:
        Its metrics, or None and why it failed.
    """
    try:
        return train(None, recipe, out=out, resume=resume).record, ""
    except ZooError as error:
        return None, str(error)


def _list_recipes(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.toml")) if folder.is_dir() else []
    if not files:
        raise InputError(
            f"there are no recipes in {folder}",
            expected="a folder of .toml files, as a run's recipe.toml",
            received="none" if folder.is_dir() else "no folder",
            mend="put a recipe there for each run",
        )
    return files


def _train_on(
    executor: Executor, recipes: Mapping[str, Recipe], out: Path, *, resume: bool
) -> Iterator[RecipeRun]:
    lost: Counter[str] = Counter()

    def submit(name: str) -> Future[_Outcome]:
        again = resume or lost[name] > 0  # from its checkpoint
        gpus = min(1, executor.num_gpus)
        return executor.submit(train_recipe, recipes[name], out / name, again, num_gpus=gpus)

    def after_loss(name: str, error: WorkerError) -> tuple[_Outcome | None, list[str]]:
        lost[name] += 1
        logger.info(f"the run {name} was lost: {error}")
        if lost[name] < ATTEMPTS:
            return None, [name]
        return (None, f"its worker was lost {ATTEMPTS} times"), []

    for name, (metrics, failure) in run_tasks(recipes, submit, after_loss):
        logger.info(f"{name}: {failure or 'done'}")
        yield RecipeRun(name, out / name, metrics, failure)
