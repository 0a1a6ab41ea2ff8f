"""Search reports: a finished search for people, as pictures and for TensorBoard.

parallel_coordinates.png shows each trial as a line through its settings, settings.png the
score against each setting; logs/search holds a TensorBoard session a trial, for its
HParams page.
"""

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
from pipelines.search.reports.trials import read_trials
from zoo.errors import TrainingError
from zoo.files import replacing

__all__ = ["PARALLEL_PICTURE", "SESSIONS", "SETTINGS_PICTURE", "draw_search", "reporting"]

PARALLEL_PICTURE, SETTINGS_PICTURE = "parallel_coordinates.png", "settings.png"
SESSIONS = Path("logs", "search")


@contextmanager
def reporting(folder: str | Path, search: Mapping[str, Any]) -> Iterator[None]:
    """Writes the TensorBoard summaries of a search, and its pictures while the block runs.

    Drawing is Python's work for a second: another process does it meanwhile, by
    `python -m pipelines.search.reports`.

    Args:
        folder: The run's directory, with search.json.
        search: What search.json holds, as `draw_search` takes it.

    Raises:
        TrainingError: Nothing could be drawn; the block was finished.
    """
    command = [sys.executable, "-m", __name__, str(folder)]
    same_imports = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, env=same_imports, stderr=subprocess.PIPE, text=True) as process:
        write_hparams(Path(folder) / SESSIONS, read_trials(search))
        yield
        said = process.communicate()[1].strip()
    if process.returncode:
        raise TrainingError(
            f"the search in {folder} could not be drawn",
            received=said.rpartition("\n")[2][:200] or f"exit status {process.returncode}",
            mend=f"python -m {__name__} {folder} shows where",
        )


def draw_search(folder: str | Path, search: Mapping[str, Any]) -> None:
    """Draws the pictures of a search, replacing earlier ones.

    Args:
        folder: The run's directory.
        search: What search.json holds. Beside `trials` it may hold `objective`, a
            dictionary of `name` and `direction` ("max" or "min"), and `space`, from
            path to a dictionary whose `log` says whether the path is searched
            logarithmically; what it does not hold is judged from the values.
    """
    folder, trials = Path(folder), read_trials(search)
    for name, draw in ((PARALLEL_PICTURE, draw_parallel), (SETTINGS_PICTURE, draw_settings)):
        with replacing(folder / name) as temporary:
            draw(trials).savefig(temporary, format="png", dpi=120)
