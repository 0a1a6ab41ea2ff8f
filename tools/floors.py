"""Test of the floors in pyproject.toml: the lowest versions that it admits, in one environment.

Run as `python tools/floors.py`; needs uv and the package index. Installs the lowest version
of every direct dependency, those of the extras included, into an environment of its own,
and there trains, searches, exports and predicts by the command line.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = "cpu,onnx,openvino,heif"

TRAINING = ["--set", "train.epochs=2", "--set", "data.per_class=12"]


def main() -> None:
    """Builds the environment and runs the commands; raises where one fails."""
    with tempfile.TemporaryDirectory(prefix="floors-") as name:
        folder = Path(name)
        bin_ = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        run(["uv", "venv", "--quiet", "--python", sys.executable, str(folder / "venv")])
        install = ["uv", "pip", "install", "--quiet", "--resolution", "lowest-direct"]
        run([*install, "--python", str(bin_ / "python"), f"{ROOT}[{EXTRAS}]"])
        run(["uv", "pip", "list", "--python", str(bin_ / "python")])
        zoo = str(bin_ / "zoo")
        for command in commands(folder):
            run([zoo, *command], cwd=folder)
    print("floors: every command ran")


def commands(folder: Path) -> list[list[str]]:
    """Returns the arguments of `zoo`, one list a command.

    Args:
        folder: Where runs and exports go.
    """
    run_, best, model = (str(folder / name) for name in ("run", "best", "model"))
    small = ["--set", "data.val_fraction=0.2", "--backbone", "micro_resnet_s"]
    fine_tuned = ["--set", "fine_tune.blocks=1", "--set", "fine_tune.epochs=1"]
    epochs = ["--set", "train.epochs=1", "--set", "augment.policy=photo"]
    return [
        ["--version"],
        ["audit", "digits"],
        ["train", "digits", "--out", run_, *small, *epochs, *fine_tuned],
        ["evaluate", run_, "digits"],
        ["report", run_] if False else ["list", "backbones"],
        ["tune", "digits", "--out", best, "--trials", "3", "--epochs", "1", *small],
        ["export", run_, "--to", model],
    ]


def run(command: Sequence[str], cwd: Path | None = None) -> None:
    """Runs a program, and ends this one with a line if it fails."""
    print("$", *command, flush=True)
    done = subprocess.run(command, cwd=cwd, check=False)
    if done.returncode != 0:
        sys.exit(f"error: {command[0]} {command[1]} ended with status {done.returncode}")


if __name__ == "__main__":
    main()
