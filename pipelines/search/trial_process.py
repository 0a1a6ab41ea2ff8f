"""Process that trains trials for this one, renewed after a few of them."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.runtime.devices import DeviceConfig
from pipelines.sources.source import Source
from tuning.hyperparameters.trial import Result
from zoo.errors import WorkerError

RENEWED_AFTER = 8
"""Trials of a process. Each leaves 1 % of the process' memory, and a new one takes seconds."""

_ATTEMPTS = 3
"""Processes that a trial may end, as by running out of memory, before the search gives up."""

_PROGRAM = (
    "import sys; sys.path[:] = {path!r}; from pipelines.search.trial_program import main; main()"
)


@dataclass(frozen=True)
class Job:
    """What the process is told of a trial.

    Args:
        name: The trial's id.
        recipe: What to train.
        folder: A folder for its checkpoints.
        stop_after: Epochs after which it is stopped; 0 for all of the recipe's.
    """

    name: str
    recipe: ResolvedRecipe
    folder: Path
    stop_after: int


class TrialProcess:
    """Another process that trains trials; started with the first one.

    It logs through this process' loggers, and ends with this process.

    Args:
        divisions: Images for training and validation, once for each fold.
        config: The section `device` of the recipe.
    """

    def __init__(self, divisions: Sequence[Source], config: DeviceConfig) -> None:
        self.divisions, self.config = divisions, config
        self._process: subprocess.Popen[bytes] | None = None
        self._left = 0

    def train(self, name: str, recipe: ResolvedRecipe, folder: Path, stop_after: int) -> Result:
        """Trains a trial; see `pipelines.search.lone_trials.train_alone`.

        A trial whose process is killed goes on from its checkpoint in the next one.

        Args:
            name: The trial's id.
            recipe: What to train.
            folder: A folder for checkpoints.
            stop_after: Epochs after which it is stopped; 0 for all of the recipe's.

        Raises:
            WorkerError: The process is killed again and again.
        """
        job = Job(name, recipe, folder.resolve(), stop_after)
        for _ in range(_ATTEMPTS):
            if not self._left:
                self.close()
            process = self._process or self._start()
            self._left -= 1
            try:
                _send(process, job)
                return _receive(process)
            except (BrokenPipeError, EOFError):
                self.close()
                ended = process.returncode
        raise WorkerError(
            f"the process that trains trial {name} ends before the trial does",
            expected="a result",
            received=f"exit status {ended}, {_ATTEMPTS} times",
            mend="see whether memory runs out, narrow the space, and go on with --resume",
        )

    def close(self) -> None:
        """Ends the process, if there is one."""
        process, self._process, self._left = self._process, None, 0
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            # It ends at the end of its input.
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        try:
            process.wait(5.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        import keras

        path = [os.path.abspath(entry) for entry in sys.path]
        self._process = process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM.format(path=path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # keras.json may have named another backend than the one that is used.
            env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
            # Ctrl-C reaches this process alone, which ends the other one.
            start_new_session=True,
        )
        self._left = RENEWED_AFTER
        _send(process, (list(map(_without_pixels, self.divisions)), self.config))
        return process


def _without_pixels(source: Source) -> Source:
    """Returns a source without the images that this process keeps decoded."""
    test = source.test and replace(source.test, kept=None)
    train, val = replace(source.train, kept=None), replace(source.val, kept=None)
    return replace(source, train=train, val=val, test=test)


def _send(process: subprocess.Popen[bytes], message: Any) -> None:
    assert process.stdin is not None  # noqa: S101  it is a pipe
    process.stdin.write(pickle.dumps(message))
    process.stdin.flush()


def _receive(process: subprocess.Popen[bytes]) -> Result:
    """Logs what the process logs, until it has a result.

    Raises:
        EOFError: The process has ended.
    """
    while True:
        # From a process that this one has started, by a pipe of theirs.
        answer = pickle.load(process.stdout)  # type: ignore[arg-type]
        if isinstance(answer, Result):
            return answer
        if isinstance(answer, BaseException):
            raise answer
        name, level, message = answer
        logging.getLogger(name).log(level, "%s", message)
