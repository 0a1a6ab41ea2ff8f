"""The same command gives the same weights, also on a busy machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

SETTINGS = ("train.epochs=2", "backbone.name=micro_resnet_s", "data.train_per_class=40")


def _pretrain(method: str, out: Path) -> dict[str, np.ndarray]:
    command = [sys.executable, "-c", "from pipelines.cli.main import main; main()", "pretrain"]
    command += ["digits", "--method", method, "--out", str(out)]
    for setting in SETTINGS:
        command += ["--set", setting]
    # As a user's process starts: the threads are the library's own choice.
    env = {name: value for name, value in os.environ.items() if not name.startswith("TF_NUM_")}
    subprocess.run(command, env=env, check=True, capture_output=True)
    with np.load(out / "pretrained.npz") as file:
        return {name: file[name] for name in file.files if name != "card"}


@contextmanager
def _busy_machine() -> Iterator[None]:
    loops = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(os.cpu_count() or 1)
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["supervised", "autoencoder"])
def test_weights_do_not_depend_on_how_busy_the_machine_is(method: str, tmp_path: Path) -> None:
    quiet = _pretrain(method, tmp_path / "quiet")
    with _busy_machine():
        busy = _pretrain(method, tmp_path / "busy")
    assert quiet.keys() == busy.keys()
    for name, value in quiet.items():
        np.testing.assert_array_equal(busy[name], value, err_msg=name)
