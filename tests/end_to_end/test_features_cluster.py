"""Features computed on a cluster equal those of one process, even if parts of it are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.sources.places.place import Place
from pipelines.sources.places.tables import read_shard_index
from tests.support.places import read_all_features
from tests.support.ray_nodes import RayNodes, start_nodes
from tests.support.tiny import write_images

pytestmark = pytest.mark.slow

ZOO = "from pipelines.cli.main import main; main()"

SHARDS = 24


def start(folder: Path, out: str, *options: str, nodes: RayNodes | None = None) -> subprocess.Popen:  # type: ignore[type-arg]
    command = ["-c", ZOO, "features", "photos", "--out", out, "--json", "--shard-images", "5"]
    command += ["--backbone", "micro_resnet_s.cifar10", *options]
    return subprocess.Popen(
        nodes.command(*command) if nodes else [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=nodes.environment if nodes else os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def finish(process: subprocess.Popen[str]) -> dict[str, object]:
    out, said = process.communicate(timeout=400)
    assert process.returncode == 0, said
    found: dict[str, object] = json.loads(out)
    return found


def wait_for_shards(process: subprocess.Popen[str], place: Path, count: int) -> set[str]:
    """Waits until there are so many shards; returns their names."""
    end = time.monotonic() + 300
    while True:
        found = {path.name for path in (place / "shards").glob("[!.]*.parquet")}
        if len(found) >= count:
            return found
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.02)


def test_features_are_those_of_one_process_whatever_is_killed(tmp_path: Path) -> None:
    write_images(tmp_path / "photos", 40)
    finish(start(tmp_path, "alone"))
    expected = read_all_features(tmp_path / "alone")
    assert len(expected) == 120
    assert len(read_shard_index(Place(str(tmp_path / "alone"))).keys) == SHARDS

    killed = start(tmp_path, "processes", "--cluster", "local:2")
    wait_for_shards(killed, tmp_path / "processes", 2)
    (victim, *_) = [
        int(child)
        for listed in Path(f"/proc/{killed.pid}/task").glob("*/children")
        for child in listed.read_text().split()
    ]
    os.kill(victim, signal.SIGKILL)
    finish(killed)
    assert read_all_features(tmp_path / "processes") == expected

    place = tmp_path / "nodes"
    with start_nodes(3) as nodes:
        driver = start(tmp_path, "nodes", "--cluster", "auto", nodes=nodes)
        wait_for_shards(driver, place, 2)
        nodes.kill_node()
        nodes.add_node()
        kept = wait_for_shards(driver, place, 8)
        written = {name: (place / "shards" / name).stat().st_mtime_ns for name in kept}
        driver.kill()
        driver.communicate()
        again = finish(start(tmp_path, "nodes", "--cluster", "auto", nodes=nodes))
    assert read_all_features(place) == expected
    # What was there is not computed again.
    assert isinstance(again["computed"], int)
    assert again["computed"] <= SHARDS - len(kept)
    for name, modified in written.items():
        assert (place / "shards" / name).stat().st_mtime_ns == modified
