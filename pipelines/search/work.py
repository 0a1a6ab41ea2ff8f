"""Work: trials trained for the chief of a search, which is another process."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from pipelines.recipe.recipe import Recipe
from pipelines.search.job import SearchJob
from pipelines.search.plan import is_begun
from pipelines.search.roles import Role
from tuning.distributed.worker import RemoteChief

logger = logging.getLogger(__name__)


def work(
    role: Role,
    data: str | Path | None,
    recipe: Recipe | None = None,
    *,
    out: str | Path,
    resume: bool = False,
    **settings: Any,
) -> int:
    """Trains trials until the search is over; writes nothing to the run.

    Args:
        role: What this process calls itself, and where the chief listens.
        data: DATA as the command line takes it, on this machine; None takes the recipe's.
        recipe: What trials change settings of, as `pipelines.search.tune.tune` takes it.
        out: The run's directory, if it is the chief's and can be read here.
        resume: Take what is not given from the search in it.
        **settings: Others of `tune`.

    Returns:
        How many trials were trained.

    Raises:
        InputError: The chief is of another search, or what `tune` raises of its input.
        WorkerError: The chief is gone.
    """
    begun = Path(out) if resume and is_begun(Path(out)) else None
    job = SearchJob.prepare(data, recipe, begun, **settings)
    with (
        tempfile.TemporaryDirectory(prefix="zoo-") as scratch,
        RemoteChief(role.address, job.fingerprint, role.name) as chief,
    ):
        logger.info(f"{role.name}, process {os.getpid()}, works for the chief at {role.address}")
        return chief.work(job.build_trainer(Path(scratch)))
