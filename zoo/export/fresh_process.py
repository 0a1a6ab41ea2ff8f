"""Predictions of a SavedModel by a fresh process, which has no part of this project.

The process runs `gate.py`. It finds TensorFlow where this process does, and ends with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo.errors import ExportError
from zoo.files import scratch_folder

_GATE = Path(__file__).with_name("gate.py")
_ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("transfer_zoo", "pipelines", "tuning", "zoo")
"""This project's packages, which the process of a proof does without."""


def predict_in_fresh_process(folder: Path, images: Sequence[Path]) -> dict[str, npt.NDArray[Any]]:
    """Returns what a SavedModel predicts in a process that loads it with TensorFlow alone.

    Args:
        folder: The folder of saved_model.pb.
        images: N image files.

    Returns:
        The outputs of `serving_bytes` for every image and of `serving_default` for those at
        `decoded_indices`, at most 32, as `SIGNATURE/OUTPUT`; and as `broken/OUTPUT` those
        of `serving_bytes` for the first image and one that is broken. As `warm_up` the
        signatures of the warm-up requests, which it has run.

    Raises:
        ExportError: The process failed.
    """
    with scratch_folder() as scratch:
        job = {
            "model": str(folder.resolve()),
            "images": [str(path.resolve()) for path in images],
            "predictions": str(scratch / "predictions.npz"),
            "path": search_path(),
            "without": PACKAGES,
        }
        run_program(
            _GATE, job, scratch, "the exported model does not load and predict in a fresh process"
        )
        with np.load(scratch / "predictions.npz") as arrays:
            return {name: arrays[name] for name in arrays.files}


def run_program(program: Path, job: Mapping[str, Any], scratch: Path, problem: str) -> None:
    """Runs a program of this room in a fresh process, which ends with this one.

    Args:
        program: A file that takes the path of a JSON file with its job.
        job: JSON values.
        scratch: A folder for it alone, where the job's file is written.
        problem: What a failure means, for the message.

    Raises:
        ExportError: The program failed.
    """
    file = scratch / "job.json"
    file.write_text(json.dumps(job), encoding="utf-8")
    status, said = _run([sys.executable, "-I", str(program), str(file)])
    if status != 0:
        lines = said.strip().splitlines() or [f"exit status {status}"]
        raise ExportError(problem, received=lines[-1])


def search_path() -> list[str]:
    """Returns where this process looks for modules, without the project's own folder.

    PYTHONPATH and the user's site are in it. The project's folder stays where TensorFlow
    lies in it too, as in site-packages; the gate refuses the project's packages anyway.
    """
    return [
        entry
        for entry in all_paths()
        if os.path.realpath(entry) != str(_ROOT) or Path(entry, "tensorflow").is_dir()
    ]


def all_paths() -> list[str]:
    """Returns where this process looks for modules, its own folder included."""
    return [os.path.abspath(entry) for entry in sys.path]


def _run(command: Sequence[str]) -> tuple[int, str]:
    """Runs a program that ends with this process; returns its status and standard error.

    Its standard input ends when this process does, however that happens.
    """
    ours, theirs = -1, -1
    try:
        theirs, ours = os.pipe()
        done = subprocess.run(
            command,
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
            # -I ignores Python's variables; this one is TensorFlow's.
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
    finally:
        for descriptor in (ours, theirs):
            if descriptor >= 0:
                os.close(descriptor)
    return done.returncode, done.stderr
