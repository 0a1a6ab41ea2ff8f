"""A search by several processes equals that of one process, even if some are killed."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
import tomlkit

from pipelines.search.roles import ORACLE_IP, ORACLE_PORT, TUNER_ID
from tests.support.tiny import TINY, write_images

pytestmark = pytest.mark.slow

ZOO = [sys.executable, "-c", "from pipelines.cli.main import main; main()"]


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    """Starts `zoo tune`, always on the same images with the same settings."""
    folder = tmp_path_factory.mktemp("workers")
    write_images(folder / "colors", 12)
    (folder / "tiny.toml").write_text(tomlkit.dumps(TINY))
    started = []

    def start(out, *options, role=None):
        command = ["tune", "colors", "--recipe", "tiny.toml", "--trials", "12", "--out", out]
        process = subprocess.Popen(
            [*ZOO, *command, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | (role or {}),
        )
        process.out = folder / out
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def trials(process):
    """Waits for a successful search; returns its trials and the best."""
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said
    found = json.loads((process.out / "search.json").read_text())
    return found["trials"], found["best"]


def wait_for(process, condition):
    end = time.monotonic() + 240
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.05)


def read(file):
    return file.read_text() if file.exists() else ""


@pytest.fixture(scope="module")
def alone(search):
    return trials(search("alone"))


def test_search_is_the_same_after_a_worker_was_killed(search, alone):
    chief = search("together", "--workers", "2")
    log = chief.out / "search" / "workers" / "worker-1.log"
    wait_for(chief, lambda: "works for the chief" in read(log))
    time.sleep(0.5)
    os.kill(int(re.search(r"process (\d+),", log.read_text())[1]), signal.SIGKILL)
    found = trials(chief)
    assert found == alone
    assert read(log.with_name("worker-2.log")).rstrip().endswith("trials")


def test_killed_chief_ends_its_worker_and_another_resumes(search, alone):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    role = {ORACLE_IP: "127.0.0.1", ORACLE_PORT: str(port)}
    chief = search("apart", role=role | {TUNER_ID: "chief"})
    worker = search("unused", role=role | {TUNER_ID: "worker-1"})
    journal = chief.out / "search" / "journal.json"
    wait_for(chief, journal.exists)
    chief.kill()
    chief.communicate()
    known = json.loads(journal.read_text())["results"]

    said = worker.communicate(timeout=120)[1]
    assert worker.returncode == 1
    assert f"error: the chief at 127.0.0.1:{port} is gone" in said.splitlines()[-1]
    assert not worker.out.exists()

    again = search("apart", "--resume", role=role | {TUNER_ID: "chief"})
    others = search("unused", "--set", "seed=1", role=role | {TUNER_ID: "worker-2"})
    assert others.wait(240) == 2
    assert "received other values of" in others.communicate()[1]
    search("unused", role=role | {TUNER_ID: "worker-3"})
    assert trials(again) == alone
    told = json.loads(journal.read_text())["results"]
    assert known.items() <= told.items()
