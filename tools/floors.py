"""Test of the floors in pyproject.toml: the lowest versions that it admits, at work.

Run as `python tools/floors.py`; needs uv and the package index. Installs the lowest version
of every direct dependency into an environment of its own and there trains, searches, exports
and predicts by the command line; then does the same with the extras.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

SMALL = ["--backbone", "micro_resnet_s.cifar10", "--set", "augment.policy=photo"]
FINE_TUNED = [
    "--set",
    "train.epochs=1",
    "--set",
    "fine_tune.blocks=1",
    "--set",
    "fine_tune.epochs=1",
]

COMMANDS = [
    ["--version"],
    ["list", "backbones"],
    ["audit", "digits"],
    ["augment", "digits", "--preview", "preview.png"],
    ["train", "digits", "--out", "run", *SMALL, *FINE_TUNED, "--set", "head.hidden=[8]"],
    ["evaluate", "run", "digits", "--json"],
    [
        "tune",
        "digits",
        "--out",
        "best",
        *SMALL,
        "--trials",
        "4",
        "--epochs",
        "1",
        "--tuner",
        "bayesian",
    ],
    ["export", "run", "--to", "model"],
]
"""Arguments of `zoo`, in this order."""

ENGINES = [
    ["train", "digits", "--out", engine, *SMALL, "--set", f"features.engine={engine}"]
    for engine in ("onnxruntime", "openvino")
]
SIGNING = [
    ["export", "onnxruntime", "--to", "signed", "--sign", "sign.pem"],
    ["predict", "signed", "preview.png", "--verify", "sign.pub"],
]
FORMATS = [
    command
    for name in ("onnx", "openvino", "litert")
    for command in (
        ["export", "onnxruntime", "--to", f"models/{name}", "--format", name],
        ["predict", f"models/{name}", "preview.png"],
    )
]
"""The same for the extras."""

MAKE_KEYS = """
from pathlib import Path
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ec

key = ec.generate_private_key(ec.SECP256R1())
private = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
public = key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
Path("sign.pem").write_bytes(private)
Path("sign.pub").write_bytes(public)
"""
"""A program that writes the pair of keys for SIGNING."""


def main() -> None:
    """Builds the environments and runs the commands; ends with a line where one fails."""
    with tempfile.TemporaryDirectory(prefix="floors-") as name:
        folder = Path(name)
        os.environ["ZOO_CACHE"] = str(folder / "cache")
        zoo = install(folder / "cpu", "cpu")
        for command in COMMANDS:
            run([str(zoo), *command], cwd=folder)
        zoo = install(folder / "extras", "cpu,onnx,openvino,litert,heif,sign")
        run([str(zoo.with_name("python")), "-c", MAKE_KEYS], cwd=folder)
        for command in (*ENGINES, *SIGNING, *FORMATS):
            run([str(zoo), *command], cwd=folder)
    print("floors: every command ran")


def install(folder: Path, extras: str) -> Path:
    """Installs the project with the lowest versions of what it depends on directly.

    Args:
        folder: The new environment.
        extras: Names of extras, with commas.

    Returns:
        The program `zoo`.
    """
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    run(["uv", "venv", "--quiet", "--python", sys.executable, str(folder)])
    python = ["--python", str(programs / "python")]
    resolution = ["--resolution", "lowest-direct"]
    run(["uv", "pip", "install", "--quiet", *resolution, *python, f"{ROOT}[{extras}]"])
    run(["uv", "pip", "freeze", *python])
    return programs / "zoo"


def run(command: Sequence[str], cwd: Path | None = None) -> None:
    """Runs a program, and ends this one with a line if it fails."""
    print("$", *command, flush=True)
    done = subprocess.run(command, cwd=cwd, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(command)} ended with status {done.returncode}")


if __name__ == "__main__":
    main()
