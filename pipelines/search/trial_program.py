"""Program of the process that trains trials for another one, `pipelines.search.trial_process`."""

from __future__ import annotations

import logging
import os
import pickle
import queue
import sys
import threading
from typing import Any, BinaryIO

from pipelines.runtime.devices import prepare_devices
from pipelines.runtime.isolation import isolated
from pipelines.runtime.log import PACKAGES
from pipelines.runtime.stderr import own_stderr, suppress_stderr
from pipelines.search.lone_trials import train_alone


def main() -> None:
    """Trains the trials that come by standard input, until it ends; then so does the process."""
    own_stderr()
    answers = _own_stdout()
    messages: queue.Queue[Any] = queue.Queue()
    threading.Thread(target=_read, args=(messages,), daemon=True).start()
    for package in PACKAGES:
        logging.getLogger(package).addHandler(_Forwarding(answers))
        logging.getLogger(package).setLevel(logging.INFO)
    divisions, config = messages.get()
    with isolated():
        with suppress_stderr():
            devices = prepare_devices(config, on_images=False)
        while True:
            job = messages.get()
            try:
                answer: Any = train_alone(
                    job.name, job.recipe, divisions, devices, job.folder, job.stop_after
                )
            except Exception as error:
                answer = error
            _write(answers, answer)


class _Forwarding(logging.Handler):
    """Sends records to the other process.

    Args:
        answers: What the other process reads.
    """

    def __init__(self, answers: BinaryIO) -> None:
        super().__init__()
        self.answers = answers

    def emit(self, record: logging.LogRecord) -> None:
        """Sends a record's logger, level and text."""
        _write(self.answers, (record.name, record.levelno, record.getMessage()))


def _own_stdout() -> BinaryIO:
    """Returns standard output as a file; what others print goes to standard error from now on."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _write(answers: BinaryIO, answer: Any) -> None:
    answers.write(pickle.dumps(answer))
    answers.flush()


def _read(messages: queue.Queue[Any]) -> None:
    """Reads messages; ends the process when the other one has closed the pipe, or is gone."""
    while True:
        try:
            messages.put(pickle.load(sys.stdin.buffer))
        except EOFError:
            os._exit(0)


if __name__ == "__main__":
    main()
