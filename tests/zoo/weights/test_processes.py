"""Concurrent fetches of one file: one download, and no stale lock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.weights_server import GOOD, Answer, Site, row, unproven
from zoo.weights.download import locked
from zoo.weights.fetch import fetch
from zoo.weights.row import Weights

ROOT = Path(__file__).parents[3]


FETCH = """
import json, logging, sys
from zoo.weights.fetch import fetch
from zoo.weights.row import Weights
logging.basicConfig(level=logging.INFO)
print(fetch(Weights(**json.loads(sys.argv[1]))))
"""


def start_fetching(weights: Weights, err: Path) -> subprocess.Popen[str]:
    with err.open("w") as stderr:
        return subprocess.Popen(
            [sys.executable, "-c", FETCH, json.dumps(vars(weights))],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("num_processes", [2, 4])
def test_processes_share_one_download(
    site: Site, tmp_path: Path, num_processes: int, known: bool
) -> None:
    gate = threading.Event()
    site.serve(Answer(gate=gate))
    weights = row(site.url) if known else unproven(site.url)
    logs = [tmp_path / f"{i}.err" for i in range(num_processes)]
    processes = [start_fetching(weights, log) for log in logs]
    wait_until(lambda: sum("waiting" in log.read_text() for log in logs) == num_processes - 1)
    gate.set()
    paths = {process.communicate(timeout=30)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0] * num_processes
    assert len(site.log) == 1
    assert [Path(path).read_bytes() for path in paths] == [GOOD]


def test_killed_process_leaves_a_resumable_part_and_no_lock(
    site: Site, tmp_path: Path, cache: Path
) -> None:
    gate = threading.Event()
    site.serve(Answer(gate=gate, etag='"1"'))
    process = start_fetching(row(site.url), tmp_path / "err")
    wait_until(lambda: [p.stat().st_size for p in cache.rglob("*.part")] == [60_000])
    process.kill()
    process.communicate()
    gate.set()
    site.serve(Answer(etag='"1"'))
    assert fetch(row(site.url)).read_bytes() == GOOD
    assert site.ranges == ["bytes=60000-"]


def test_lock_excludes_other_threads(tmp_path: Path) -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        with locked(tmp_path / "lock", waiting="waiting"):
            inside += 1
            most = max(most, inside)
            time.sleep(0.02)
            inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_import_is_cheap() -> None:
    heavy = ["keras", "tensorflow", "numpy", "pydantic", "rich", "urllib.request", "http.client"]
    code = f"import sys, zoo.weights.fetch; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
