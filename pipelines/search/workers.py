"""Local workers: processes that train a search's trials on the chief's machine."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from pipelines.runtime.devices import num_cores
from pipelines.search.roles import ORACLE_IP, ORACLE_PORT, TUNER_ID
from tuning.distributed.chief import Chief
from zoo.errors import WorkerError

logger = logging.getLogger(__name__)


class LocalWorkers:
    """Workers on this machine, started and watched by their chief.

    A context manager: workers run inside, and none outlives it. A worker that dies early is
    given up at once, and replaced if it had begun a trial.

    Args:
        command: The command that starts a worker.
        count: Number of workers.
        chief: The chief they work for.
        logs: The folder of their output, a file each.
    """

    def __init__(self, command: Sequence[str], count: int, chief: Chief, logs: Path) -> None:
        self.command, self.count, self.chief, self.logs = command, count, chief, logs
        self._started = 0
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> LocalWorkers:
        self.logs.mkdir(parents=True, exist_ok=True)
        for log in self.logs.glob("worker-*.log"):
            log.unlink()
        for _ in range(self.count):
            self._start()
        self.chief.watch = self.watch
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._running.values():
            # Workers end by themselves when the search does.
            if error or not _ends(process):
                process.terminate()
        for process in self._running.values():
            if not _ends(process):
                process.kill()
                process.wait()

    def watch(self) -> None:
        """Gives up workers that died, and starts others.

        Raises:
            WorkerError: None is left.
        """
        for name, process in list(self._running.items()):
            status = process.poll()
            if status is None:
                continue
            del self._running[name]
            if status == 0:
                continue
            self.chief.lose(name)
            ended = f"by signal {-status}" if status < 0 else f"with status {status}"
            said = self._last_line(name) if status > 0 else ""
            logger.info(
                f"{name} ended {ended}{': ' if said else ''}{said}; its trials go to others"
            )
            if self.chief.has_lent_to(name):
                self._start()
            elif not self._running:
                raise WorkerError(
                    f"no worker is left: {name} ended {ended} before its first trial",
                    received=said,
                    mend=f"see {self.logs}",
                )

    def _start(self) -> None:
        self._started += 1
        name = f"worker-{self._started}"
        with self._log(name).open("wb") as log:
            self._running[name] = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | self._environment(name),
                # Ctrl-C reaches the chief alone, which ends its workers.
                start_new_session=True,
            )

    def _environment(self, name: str) -> dict[str, str]:
        threads = str(max(1, num_cores() // self.count))
        return {
            TUNER_ID: name,
            ORACLE_IP: self.chief.address.host,
            ORACLE_PORT: str(self.chief.address.port),
            "TF_NUM_INTRAOP_THREADS": threads,
            "TF_NUM_INTEROP_THREADS": "1",
            "OMP_NUM_THREADS": threads,
        }

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def _last_line(self, name: str) -> str:
        lines = self._log(name).read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")[:200]


def _ends(process: subprocess.Popen[bytes]) -> bool:
    """Returns whether a process ends within five seconds."""
    try:
        process.wait(5.0)
    except subprocess.TimeoutExpired:
        return False
    return True
