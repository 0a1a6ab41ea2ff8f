"""A search on a cluster equals that of one process, even if parts of it are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from tests.support.ray_nodes import RayNodes, start_nodes
from tests.support.tiny import TINY, write_images

pytestmark = pytest.mark.slow

ZOO = "from pipelines.cli.main import main; main()"

SPACE = {
    # Adafactor trains a network of its own, and so does what is fine-tuned.
    "optimizer.name": ["nesterov", "adam", "adafactor"],
    "optimizer.learning_rate": {"min": 1e-3, "max": 0.1, "log": True},
    "head.hidden": [[], [8]],
}


class Search:
    """A search that runs.

    Args:
        process: The driver.
        out: Its run folder.
    """

    def __init__(self, process: subprocess.Popen[str], out: Path) -> None:
        self.process, self.out = process, out
        self.journal = out / "search" / "journal.json"

    @property
    def num_done(self) -> int:
        """The number of trials that have results."""
        if not self.journal.exists():
            return 0
        return len(json.loads(self.journal.read_text())["results"])

    def wait_for(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 400
        while not condition():
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < end
            time.sleep(0.05)

    def finish(self) -> dict[str, Any]:
        """Waits for its end; returns what it found, times aside."""
        said = self.process.communicate(timeout=500)[1]
        assert self.process.returncode == 0, said
        found: dict[str, Any] = json.loads((self.out / "search.json").read_text())
        del found["timing"]
        return found


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Search]]:
    """Starts `zoo tune`, always on the same images with the same settings."""
    folder = tmp_path_factory.mktemp("cluster")
    write_images(folder / "colors", 12)
    (folder / "tiny.toml").write_text(tomlkit.dumps(TINY | {"features": {"engine": "keras"}}))
    (folder / "space.toml").write_text(tomlkit.dumps(SPACE))
    started = []

    def begin(out: str, *options: str, nodes: RayNodes | None = None) -> Search:
        command = ["-c", ZOO, "tune", "colors", "--recipe", "tiny.toml", "--space", "space.toml"]
        command += ["--trials", "8", "--out", out, *options]
        process = subprocess.Popen(
            nodes.command(*command) if nodes else [sys.executable, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=nodes.environment
            if nodes
            else os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        started.append(process)
        return Search(process, folder / out)

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def alone(start: Callable[..., Search]) -> dict[str, Any]:
    found = start("alone").finish()
    names = [trial["hyperparameters"]["optimizer.name"] for trial in found["trials"]]
    assert 2 <= names.count("adafactor") <= 6, "some train alone, others together"
    return found


def _children(process: int) -> list[int]:
    threads = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for listed in threads for child in listed.read_text().split()]


def test_search_in_processes_is_the_same_after_one_was_killed(
    start: Callable[..., Search], alone: dict[str, Any]
) -> None:
    search = start("together", "--cluster", "local:2")
    search.wait_for(lambda: search.num_done > 0)
    victim = next(iter(_children(search.process.pid)))
    os.kill(victim, signal.SIGKILL)
    assert search.finish() == alone


def test_search_on_nodes_is_the_same_after_one_and_the_driver_were_killed(
    start: Callable[..., Search], alone: dict[str, Any]
) -> None:
    with start_nodes(3) as nodes:
        search = start("nodes", "--cluster", nodes.address, nodes=nodes)
        search.wait_for(lambda: search.num_done > 0)
        known = search.num_done
        nodes.kill_node()
        nodes.add_node()
        search.wait_for(lambda: search.num_done > known)
        search.process.kill()
        search.process.communicate()
        told = json.loads(search.journal.read_text())["results"]
        again = start("nodes", "--resume", "--cluster", "auto", nodes=nodes)
        assert again.finish() == alone
        kept = json.loads(search.journal.read_text())["results"]
        assert told.items() <= kept.items()
