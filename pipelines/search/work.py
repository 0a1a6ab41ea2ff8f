"""Worker of a search: trains trials for a chief in another process."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from pipelines.recipe.settings import RecipeSettings
from pipelines.search.job import SearchJob
from pipelines.search.plan import is_begun
from pipelines.search.roles import Role
from tuning.distributed.worker import RemoteChief

logger = logging.getLogger(__name__)


def work(
    role: Role,
    data: str | Path | None,
    recipe: RecipeSettings | None = None,
    *,
    out: str | Path,
    resume: bool = False,
    **settings: Any,
) -> int:
    """Trains trials until the search is over; writes nothing to the run.

    Args:
        role: This process's name, and the chief's address.
        data: DATA as the command line takes it, on this machine; None takes the recipe's.
        recipe: As `pipelines.search.tune.tune` takes it.
        out: The chief's run folder, if it can be read here.
        resume: Whether arguments that are None come from the search in it.
        **settings: Other arguments of `tune`.

    Returns:
        The number of trials trained.

    Raises:
        InputError: The chief runs another search, or an input is wrong as in `tune`.
        WorkerError: The chief is gone.
    """
    begun = Path(out) if resume and is_begun(Path(out)) else None
    job = SearchJob.prepare(data, recipe, begun, **settings)
    with (
        tempfile.TemporaryDirectory(prefix="zoo-") as scratch,
        RemoteChief(role.address, job.fingerprint, role.name) as chief,
    ):
        logger.info(f"{role.name}, process {os.getpid()}, works for the chief at {role.address}")
        with contextlib.closing(job.build_trainer(Path(scratch))) as trainer:
            return chief.work(trainer)
