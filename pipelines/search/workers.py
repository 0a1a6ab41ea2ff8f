"""Workers: the processes that compute a search's trials on the machine of its chief."""

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
    """Workers on this machine, started by their chief and seen after by it.

    A context manager: they run inside, and none outlives it. One that ends before the
    search does is given up at once, and another started if it had got as far as a trial.

    Args:
        command: Starts one.
        count: How many.
        chief: What they work for.
        logs: The folder of what they print, a file each.
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
            # At the end of a search they were told so, and go by themselves.
            if error or not _ends(process):
                process.terminate()
        for process in self._running.values():
            if not _ends(process):
                process.kill()
                process.wait()

    def watch(self) -> None:
        """Gives up workers that ended, and starts others.

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
                # Ctrl-C is for the chief, which ends them.
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
    """Returns whether a process ends soon."""
    try:
        process.wait(5.0)
    except subprocess.TimeoutExpired:
        return False
    return True
