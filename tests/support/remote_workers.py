"""Trials that square a number, and workers as processes, to test the chief of a search."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tuning.hyperparameters.search import Journal, Search
from tuning.hyperparameters.trial import Result, Trial

ROOT = Path(__file__).parents[2]

SAME = {"the images": "flowers", "the code": "1.0"}

WORKER = """
import os, signal, sys, time
from tuning.distributed.protocol import Address
from tuning.distributed.worker import RemoteChief
from tuning.hyperparameters.trial import Result
from zoo.errors import ZooError

port, name, data, seconds, poison = sys.argv[1:]

def train(trials):
    print(*(trial.id for trial in trials), flush=True)
    for trial in trials:
        if trial.id == poison:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(float(seconds))
        yield {trial.id: Result(score=float(trial.values["x"] ** 2), epochs=os.getpid())}

same = {"the images": data, "the code": "1.0"}
try:
    with RemoteChief(Address("127.0.0.1", int(port)), same, name, join_s=20, gone_s=4) as chief:
        chief.work(train)
except ZooError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(error.exit_status)
"""


class Numbers:
    """An oracle that asks for the squares of 0, 1, …, in batches."""

    def __init__(self, count: int, batch: int) -> None:
        self.trials = [trial_of(i) for i in range(count)]
        self.batch = batch

    def ask(self) -> list[Trial]:
        batch, self.trials = self.trials[: self.batch], self.trials[self.batch :]
        return batch

    def tell(self, results: Mapping[str, Result]) -> None:
        """Ignores results."""


def trial_of(number: int) -> Trial:
    return Trial(id=str(number), values={"x": number, "head.hidden": [number, number]})


def search_numbers(folder: Path, count: int, batch: int = 100) -> Search:
    """Starts a search for squares of numbers, or resumes the one in a folder."""
    journal = Journal(folder / "journal.json", SAME)
    return Search(Numbers(count, batch), journal, count, lambda: 0.0)


def scores(search: Search) -> dict[str, float | None]:
    """Returns the score of each finished trial, by id."""
    return {trial.id: result.score for trial, result in search.completed}


def trained_by(search: Search) -> set[int]:
    """Returns the ids of the processes that trained the trials."""
    return {result.epochs for _, result in search.completed if not result.failure}


def start_worker(
    port: int, name: str, *, seconds: float = 0.0, data: str = "flowers", poison: str = ""
) -> subprocess.Popen[str]:
    """Starts a worker that squares numbers in `seconds` each and kills itself at trial `poison`.

    The worker prints the ids of each batch of trials on a line. Its results carry its process
    id as their number of epochs.
    """
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(port), name, data, str(seconds), poison],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
