"""Work: trials trained for the chief of a search, which is another process."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from pipelines.progress import say
from pipelines.recipe import Recipe
from pipelines.roles import Role
from pipelines.search_job import SearchJob
from pipelines.search_plan import is_begun
from tuning.worker import RemoteChief


def work(
    role: Role,
    data: str | Path,
    recipe: Recipe | None = None,
    *,
    out: str | Path,
    resume: bool = False,
    **settings: Any,
) -> int:
    """Trains trials until the search is over; writes nothing to the run.

    Args:
        role: What this process calls itself, and where the chief listens.
        data: DATA as the command line takes it, on this machine; empty takes the recipe's.
        recipe: What trials change settings of, as `pipelines.tune.tune` takes it.
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
        say(f"{role.name}, process {os.getpid()}, works for the chief at {role.address}")
        return chief.work(job.build_trainer(Path(scratch)))
