"""Versions: a newer one is taken up without a failed request, a broken one is not."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from tests.support.model_server import ModelServer, serving

NUM_CONNECTIONS = 4


def place(version: Path, folder: Path, change: Callable[[Path], None] | None = None) -> None:
    """Copies a version as the number that a folder names, and moves it into place."""
    beside = folder.with_name(f".{folder.name}")
    shutil.copytree(version, beside)
    if change:
        change(beside)
    os.rename(beside, folder)


def add_a_byte(folder: Path) -> None:
    with open(folder / "saved_model.pb", "ab") as file:
        file.write(b"\x00")


def wait_until(reached: Callable[[], bool], server: ModelServer) -> None:
    while not reached():
        assert server.process.poll() is None, server.log
        time.sleep(0.05)


def test_versions_change_under_load(exported: Path, images: list[Path], tmp_path: Path) -> None:
    model = tmp_path / "colors"
    model.mkdir()
    place(exported / "1", model / "1")
    content = images[0].read_bytes()
    ended = threading.Event()
    seen: list[tuple[int, int]] = []

    def ask(server: ModelServer) -> None:
        with closing(server.connect()) as connection:
            while not ended.is_set():
                reply = server.ask_over(connection, "POST", "/predict", content)
                seen.append((reply.status, reply.json.get("version", 0)))

    with serving(model) as server, ThreadPoolExecutor(NUM_CONNECTIONS) as clients:
        running = [clients.submit(ask, server) for _ in range(NUM_CONNECTIONS)]
        try:
            wait_until(lambda: len(seen) > 20, server)
            place(exported / "1", model / "2")
            wait_until(lambda: seen[-1][1] == 2, server)
            # It is refused, said once, and the version before goes on.
            place(exported / "1", model / "10", add_a_byte)
            wait_until(lambda: any("version 2 stays" in line for line in server.log), server)
            (said,) = [line for line in server.log if "stays" in line]
            assert f"{model}/10 is a program" in said
            before = len(seen)
            wait_until(lambda: len(seen) > before + 100, server)
            assert sum("stays" in line for line in server.log) == 1
            # Put right, it is taken up; taken away, the one before is.
            shutil.rmtree(model / "10")
            place(exported / "1", model / "10")
            wait_until(lambda: seen[-1][1] == 10, server)
            status = server.ask("GET", "/v1/models/colors").json["model_version_status"]
            assert [each["version"] for each in status] == ["10"]
            assert server.ask("GET", "/v1/models/colors/versions/2").status == 404
            shutil.rmtree(model / "10")
            wait_until(lambda: seen[-1][1] == 2, server)
        finally:
            ended.set()
        for client in running:
            client.result()
    assert {status for status, _ in seen} == {200}
    assert {version for _, version in seen} == {1, 2, 10}
