"""Program of the process that runs tasks for another one, `pipelines.runtime.worker_process`."""

from __future__ import annotations

import functools
import logging
import os
import pickle
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

from pipelines.runtime.isolation import isolated
from pipelines.runtime.log import PACKAGES
from pipelines.runtime.stderr import own_stderr
from pipelines.runtime.worker_process import Outcome


def main(log_level: int) -> None:
    """Runs the tasks that come by standard input, until it ends; then so does the process.

    Args:
        log_level: The lowest level of records that the other process logs.
    """
    answers = _own_stdout()
    messages: queue.Queue[Any] = queue.Queue()
    threading.Thread(target=_read, args=(messages,), daemon=True).start()
    for package in PACKAGES:
        logging.getLogger(package).addHandler(_Forwarding(answers))
        logging.getLogger(package).setLevel(log_level)
    while True:
        _write(answers, run_task(*messages.get()))


def run_task(function: Callable[..., Any], args: Sequence[Any]) -> Outcome:
    """Runs a task in a process that is there for tasks alone.

    Args:
        function: What runs.
        args: Its arguments.
    """
    _enter_isolation()
    try:
        return Outcome(function(*args))
    except Exception as error:
        return Outcome(None, error)


@functools.cache
def _enter_isolation() -> None:
    """Prepares the process for jobs; nobody needs it as it was before."""
    own_stderr()
    isolated().__enter__()


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
        except Exception:
            # A task that cannot be imported here; the other process then knows it as lost.
            traceback.print_exc()
            os._exit(1)
