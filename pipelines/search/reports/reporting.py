"""Reports of a finished search: pictures in the run folder, sessions for TensorBoard."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.search.reports.hparams import write_hparams
from pipelines.search.reports.parallel import draw_parallel
from pipelines.search.reports.settings import draw_settings
from pipelines.storage.search_results import read_results
from zoo.errors import TrainingError
from zoo.files import replacing

PARALLEL_PICTURE, SETTINGS_PICTURE = "parallel_coordinates.png", "settings.png"
SESSIONS = Path("logs", "search")


@contextmanager
def reporting(folder: str | Path, search: Mapping[str, Any]) -> Iterator[None]:
    """Writes the TensorBoard summaries of a search, and its pictures while the block runs.

    Drawing takes Python a second or two, so another process does it meanwhile:
    `python -m pipelines.search.reports RUN`.

    Args:
        folder: The run folder, with search.json.
        search: The content of search.json, as `draw_search` takes it.

    Raises:
        TrainingError: Drawing failed; the block has finished.
    """
    command = [sys.executable, "-m", "pipelines.search.reports", str(folder)]
    # The child imports what this process imports, installed or not.
    same_imports = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, env=same_imports, stderr=subprocess.PIPE, text=True) as process:
        write_hparams(Path(folder) / SESSIONS, read_results(search))
        yield
        message = process.communicate()[1].strip()
    if process.returncode:
        raise TrainingError(
            f"the search in {folder} could not be drawn",
            received=message.rpartition("\n")[2][:200] or f"exit status {process.returncode}",
            mend=f"python -m pipelines.search.reports {folder} shows where",
        )


def draw_search(folder: str | Path, search: Mapping[str, Any]) -> None:
    """Draws the pictures of a search, replacing earlier ones.

    Args:
        folder: The run folder.
        search: The content of search.json: `trials`, and optionally `objective` with `name`
            and `direction` ("max" or "min"), and `space`, from path to a dictionary whose
            `log` says whether the path is searched logarithmically. What is missing is
            inferred from the values.
    """
    folder, trials = Path(folder), read_results(search)
    for name, draw in ((PARALLEL_PICTURE, draw_parallel), (SETTINGS_PICTURE, draw_settings)):
        with replacing(folder / name) as temporary:
            draw(trials).savefig(temporary, format="png", dpi=120)
