"""HParams: a search for TensorBoard's HParams page, a session a trial.

The events are put together by TensorBoard's own functions and written as its records,
without a writer's thread for every trial.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines.search.reports.trials import Trial, Trials, in_words
from zoo.files import placing_folder


def write_hparams(folder: Path, trials: Trials) -> None:
    """Writes an experiment and a session for each trial that ended, in place of earlier ones.

    Numbers and switches keep their type, all else is in words. A trial's score, and its
    deviation over folds, are scalars of its session.

    Args:
        folder: Where TensorBoard finds them; replaced whole.
        trials: Those of a search.
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


def _figures(trials: Trials, trial: Trial) -> Iterator[tuple[str, float]]:
    if math.isfinite(trial.score):
        yield trials.objective, trial.score
    if math.isfinite(trial.score_std):
        yield f"{trials.objective}_std", trial.score_std


def _simple(value: Any) -> bool | float | str:
    return value if isinstance(value, (bool, int, float, str)) else in_words(value)


def _hparam(path: str, values: Sequence[bool | float | str]) -> Any:
    """Returns a setting with what it may be: a range of numbers, or a few words."""
    from tensorboard.plugins.hparams.summary_v2 import Discrete, HParam, RealInterval

    kinds = {bool if isinstance(v, bool) else str if isinstance(v, str) else float for v in values}
    if kinds == {float}:
        return HParam(path, RealInterval(float(min(values)), float(max(values))))
    # Of values of several types TensorBoard is told no domain, and takes what it finds.
    return HParam(path, Discrete(sorted(set(values))) if len(kinds) == 1 else None)


def _write(folder: Path, summaries: Sequence[Any], now: float) -> None:
    """Writes summaries of step 0 as one file of events."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    folder.mkdir(exist_ok=True)
    with (folder / f"events.out.tfevents.{int(now)}.search").open("wb") as file:
        records = RecordWriter(file)
        records.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        for summary in summaries:
            event = Event(wall_time=now, step=0)
            # Some of TensorBoard's functions answer with TensorFlow's class of that name.
            event.summary.ParseFromString(summary.SerializeToString())
            records.write(event.SerializeToString())
