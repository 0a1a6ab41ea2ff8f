"""Searching: a search that is a list, and workers as processes, for the tests of a chief."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

WORKER = """
import sys, time
from tuning.protocol import Address
from tuning.worker import RemoteSearch
from zoo.errors import ZooError

port, name, fingerprint, seconds, most, poison = sys.argv[1:]
try:
    with RemoteSearch(
        Address("127.0.0.1", int(port)), fingerprint, name, join_s=20, gone_s=2
    ) as search:
        while trials := search.ask(int(most)):
            print(*(trial["id"] for trial in trials), flush=True)
            for trial in trials:
                if trial["id"] == poison:
                    import os, signal
                    os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(float(seconds))
                search.tell({"id": trial["id"], "score": trial["x"] ** 2, "by": name})
except ZooError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(error.exit_status)
"""


class ListSearch:
    """A search over numbers: trial i has x = i."""

    def __init__(self, count: int) -> None:
        self.trials = [{"id": str(i), "x": i, "units": [i, i]} for i in range(count)]
        self.results: dict[str, Mapping[str, Any]] = {}

    @property
    def remaining(self) -> int:
        return len(self.trials)

    @property
    def finished(self) -> bool:
        return not self.trials

    def ask(self, count: int) -> Sequence[Mapping[str, Any]]:
        asked, self.trials = self.trials[:count], self.trials[count:]
        return asked

    def tell(self, result: Mapping[str, Any]) -> None:
        if result["id"] in self.results:
            raise ValueError(f"trial {result['id']} was told twice")
        self.results[result["id"]] = result


def start_worker(
    port: int,
    name: str,
    *,
    seconds: float = 0.0,
    most: int = 4,
    fingerprint: str = "same",
    poison: str = "",
) -> subprocess.Popen[str]:
    """Starts a process that squares numbers, `seconds` for each."""
    arguments = [str(port), name, fingerprint, str(seconds), str(most), poison]
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
