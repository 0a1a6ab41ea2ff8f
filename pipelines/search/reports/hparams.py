"""Trials of a search as sessions of TensorBoard's HParams page.

TensorBoard's own functions build the events, and this module writes them as records: a
summary writer would start a thread for every trial.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines.storage.search_results import SearchResults, TrialResult, format_value
from zoo.files import placing_folder


def write_hparams(folder: Path, trials: SearchResults) -> None:
    """Writes an experiment with a session for each trial that ended.

    Numbers and booleans keep their type, other values are text. The score and its standard
    deviation over folds are scalars of the session.

    Args:
        folder: The folder of the sessions, replaced as a whole.
        trials: The results of a search.
    """
    from tensorboard.plugins.hparams import api_pb2, summary, summary_v2
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb

    now = time.time()
    figures = {trial.id: dict(_figures(trials, trial)) for trial in trials.all}
    metrics = dict.fromkeys(name for those in figures.values() for name in those)
    values = {
        trial.id: {path: _simple(value) for path, value in trial.values.items()}
        for trial in trials.all
    }
    paths = dict.fromkeys(path for those in values.values() for path in those)
    experiment = summary_v2.hparams_config_pb(
        [_hparam(path, [v[path] for v in values.values() if path in v]) for path in paths],
        [summary_v2.Metric(name) for name in metrics],
        now,
    )
    shutil.rmtree(folder, ignore_errors=True)
    with placing_folder(folder) as temporary:
        _write(temporary, [experiment], now)
        for trial in [*trials.finished, *trials.failed]:
            status = api_pb2.STATUS_SUCCESS if trial.finished else api_pb2.STATUS_FAILURE
            session = [
                summary_v2.hparams_pb(values[trial.id], trial.id, now),
                *(scalar_pb(name, value) for name, value in figures[trial.id].items()),
                summary.session_end_pb(status, now),
            ]
            _write(temporary / trial.id, session, now)


def _figures(trials: SearchResults, trial: TrialResult) -> Iterator[tuple[str, float]]:
    if math.isfinite(trial.score):
        yield trials.objective, trial.score
    if math.isfinite(trial.score_std):
        yield f"{trials.objective}_std", trial.score_std


def _simple(value: Any) -> bool | float | str:
    return value if isinstance(value, (bool, int, float, str)) else format_value(value)


def _hparam(path: str, values: Sequence[bool | float | str]) -> Any:
    """Returns a hyperparameter with its domain: a range of numbers, or discrete values."""
    from tensorboard.plugins.hparams.summary_v2 import Discrete, HParam, RealInterval

    kinds = {bool if isinstance(v, bool) else str if isinstance(v, str) else float for v in values}
    if kinds == {float}:
        return HParam(path, RealInterval(float(min(values)), float(max(values))))
    # Without a domain TensorBoard accepts values of several types.
    return HParam(path, Discrete(sorted(set(values))) if len(kinds) == 1 else None)


def _write(folder: Path, summaries: Sequence[Any], now: float) -> None:
    """Writes summaries as one event file, all at step 0."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    folder.mkdir(exist_ok=True)
    with (folder / f"events.out.tfevents.{int(now)}.search").open("wb") as file:
        records = RecordWriter(file)
        records.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        for summary in summaries:
            event = Event(wall_time=now, step=0)
            # Some of TensorBoard's functions return TensorFlow's class of that name.
            event.summary.ParseFromString(summary.SerializeToString())
            records.write(event.SerializeToString())
