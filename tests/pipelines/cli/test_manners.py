"""The program `zoo` among others: signals, closed streams, odd names, full disks."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cli.interruption import describe_interruption
from pipelines.cli.main import run_command
from pipelines.cli.printing import print_grid, show
from tests.support.tiny import TINY

PROGRAM = [sys.executable, "-c", "from pipelines.cli.main import main; main()"]


@pytest.mark.train
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_interrupted_training_says_how_to_go_on(
    number: int, status: int, tiny_folder: Path, tmp_path: Path
) -> None:
    settings = [f"{s}.{k}={json.dumps(v)}" for s, values in TINY.items() for k, v in values.items()]
    # A job in the background, as CI may be, and all that it starts, ignores Ctrl-C otherwise.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    program = [*PROGRAM[:-1], heeding + PROGRAM[-1]]
    command = [*program, "train", str(tiny_folder), "--out", str(tmp_path / "run")]
    command += [f"--set={setting}" for setting in [*settings, "train.epochs=9999"]]
    with subprocess.Popen(
        [*command, "--set=stopping.patience=9999"], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        for line in process.stderr:
            if line.startswith("epoch 2/"):
                process.send_signal(number)
                break
        rest = process.stderr.read().splitlines()
    assert process.returncode == status, rest
    assert rest[-1] == (
        f"error: interrupted; zoo train --out {tmp_path}/run --resume goes on from what is saved"
    )
    files = {path.name for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert {"recipe.toml", "last.npz", "history.csv"} <= files
    assert not [name for name in files if name.startswith(".")], "nothing half written is left"


def test_interruption_before_anything_was_saved(tmp_path: Path) -> None:
    for command in ("train", "tune", "pretrain"):
        said = describe_interruption([command, "photos", f"--out={tmp_path / 'run'}"])
        assert said == "interrupted before anything was saved"
    assert describe_interruption(["predict", "run", "a.jpg"]) == "interrupted"


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_streams_change_no_exit_status(closed: str, tmp_path: Path) -> None:
    program = f"'{sys.executable}' -c 'from pipelines.cli.main import main; main()'"
    for arguments, status in (("list heads", 0), ("list nothing", 2)):
        done = subprocess.run(
            f"{program} {arguments} {closed}", shell=True, capture_output=True, text=True
        )
        assert done.returncode == status
        if "2>" in closed:
            assert "error" not in done.stdout, "an error belongs to standard error alone"


def test_gone_reader_is_no_traceback() -> None:
    program = f"'{sys.executable}' -c 'from pipelines.cli.main import main; main()'"
    done = subprocess.run(
        f"set -o pipefail; {program} list backbones | true",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
    )
    assert len(done.stderr.splitlines()) <= 1, done.stderr


def test_version_names_what_the_program_builds_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "zoo", "tensorflow-cpu", "keras", "keras-tuner", "numpy", "python"
    ]  # fmt: skip
    assert all(line.split()[1][0].isdigit() for line in lines)


def test_names_reach_the_terminal_escaped(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    name = "cat\x1b[31m\nerror: forged"
    show(name)
    print_grid(["class"], [[name]])
    logging.getLogger("pipelines.cli").info(f"class {name}")
    assert run_command(["evaluate", str(tmp_path / name), "digits"]) == 2
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err
    assert captured.out.count("\n") == 3
    assert captured.err.count("\n") == 2


def test_names_outside_the_encoding_of_the_terminal_are_shown(tmp_path: Path) -> None:
    done = subprocess.run(
        [*PROGRAM, "train", "Käfer-甲虫", "--out", str(tmp_path / "run")],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "latin-1:strict"},
    )
    assert done.returncode == 2
    assert "Käfer-\\u7532\\u866b" in done.stderr.decode("latin-1")


def test_full_disk_names_the_file_and_exits_1(tmp_path: Path) -> None:
    # A limit on the size of files stands for a full disk: writing fails the same way.
    script = (
        "import resource, sys; import numpy as np\n"
        "from pathlib import Path\n"
        "from pipelines.cli import main\n"
        "from pipelines.storage.checkpoint import Checkpoint\n"
        "def job(*arguments, **options):\n"
        "    Checkpoint(0, [], '', current=[np.zeros(100_000)]).save(Path(sys.argv[1]))\n"
        "main.app = job\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "sys.exit(main.run_command([]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "last.npz")], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path}/last.npz cannot be written: ")
    assert "; make room on that disk, or choose a folder on another one" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert os.listdir(tmp_path) == []
