"""Process of this machine that runs tasks for this one, renewed after a few of them."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pipelines.runtime.executor import RENEWED_AFTER
from zoo.errors import WorkerError

_PROGRAM = (
    "import sys; sys.path[:] = {path!r}; "
    "from pipelines.runtime.worker_program import main; main({level})"
)


class Outcome(NamedTuple):
    """What became of a task.

    Args:
        result: What it returned.
        error: What it raised; None where it returned.
    """

    result: Any
    error: Exception | None = None


class WorkerProcess:
    """Another process that runs tasks, one at a time; started with the first one.

    It logs through this process' loggers, and ends with this process.

    Args:
        environment: Variables that it has beside those of this process.
        log_level: The lowest level of records that it logs.
        renewed_after: Tasks after which another process takes its place, ≥ 1.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        log_level: int = logging.INFO,
        renewed_after: int = RENEWED_AFTER,
    ) -> None:
        self.environment, self.log_level = dict(environment or {}), log_level
        self.renewed_after = renewed_after
        self._process: subprocess.Popen[bytes] | None = None
        self._left = 0

    def run(self, function: Callable[..., Any], args: Sequence[Any]) -> Any:
        """Runs a task, and returns what it returns.

        Args:
            function: What runs; it can be imported by its name.
            args: Its arguments.

        Raises:
            WorkerError: The process ended before the task did.
            Exception: What the task raised.
        """
        if not self._left:
            self.close()
        process = self._process or self._start()
        self._left -= 1
        try:
            _send(process, (function, tuple(args)))
            outcome = _receive(process)
        except (BrokenPipeError, EOFError):
            self.close()
            raise WorkerError(
                "the process that runs a task ended before the task did",
                received=_describe_exit(process.returncode),
                mend="see whether memory runs out",
            ) from None
        if outcome.error is not None:
            raise outcome.error
        return outcome.result

    def kill(self) -> None:
        """Ends the process at once, and with it the task that it runs."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """Ends the process, if there is one, once its task is done."""
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
        path = [os.path.abspath(entry) for entry in sys.path]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM.format(path=path, level=self.log_level)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | self.environment,
            # Ctrl-C reaches this process alone, which ends the other one.
            start_new_session=True,
        )
        self._left = self.renewed_after
        return self._process


def _describe_exit(status: int | None) -> str:
    return f"signal {-status}" if status is not None and status < 0 else f"exit status {status}"


def _send(process: subprocess.Popen[bytes], message: Any) -> None:
    assert process.stdin is not None  # noqa: S101  it is a pipe
    process.stdin.write(pickle.dumps(message))
    process.stdin.flush()


def _receive(process: subprocess.Popen[bytes]) -> Outcome:
    """Logs what the process logs, until its task is done.

    Raises:
        EOFError: The process has ended.
    """
    while True:
        # From a process that this one has started, by a pipe of theirs.
        answer = pickle.load(process.stdout)  # type: ignore[arg-type]
        if isinstance(answer, Outcome):
            return answer
        name, level, message = answer
        logging.getLogger(name).log(level, "%s", message)
