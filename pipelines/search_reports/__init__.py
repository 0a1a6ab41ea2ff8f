"""Search reports: a finished search for people, as pictures and for TensorBoard.

parallel_coordinates.png shows each trial as a line through its settings, settings.png the
score against each setting; logs/search holds a TensorBoard session a trial, for its
HParams page.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.search_reports.hparams import write_hparams
from pipelines.search_reports.parallel import draw_parallel
from pipelines.search_reports.settings import draw_settings
from pipelines.search_reports.trials import read_trials
from zoo.files import replacing

__all__ = ["PARALLEL_PICTURE", "SESSIONS", "SETTINGS_PICTURE", "report_search"]

PARALLEL_PICTURE, SETTINGS_PICTURE = "parallel_coordinates.png", "settings.png"
SESSIONS = Path("logs", "search")


def report_search(folder: str | Path, search: Mapping[str, Any]) -> None:
    """Writes the pictures and the TensorBoard summaries of a search, replacing earlier ones.

    Args:
        folder: The run's directory.
        search: What search.json holds. Beside `trials` it may hold `objective`, a
            dictionary of `name` and `direction` ("max" or "min"), and `space`, from
            path to a dictionary whose `log` says whether the path is searched
            logarithmically; what it does not hold is judged from the values.
    """
    folder = Path(folder)
    trials = read_trials(search)
    for name, draw in ((PARALLEL_PICTURE, draw_parallel), (SETTINGS_PICTURE, draw_settings)):
        with replacing(folder / name) as temporary:
            draw(trials).savefig(temporary, format="png", dpi=120)
    write_hparams(folder / SESSIONS, trials)
