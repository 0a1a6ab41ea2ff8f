"""What a folder holds: where a run is to be, and where one should be."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from pipelines.storage.claim import CLAIM_FILE
from zoo.errors import RunError
from zoo.files import is_temporary, naming_file, remove_file

FIND_LR_PICTURE, FIND_LR_TABLE = "find_lr.png", "find_lr.csv"
RECIPE_FILE, MODEL_FILE, UNKNOWN_FILE = "recipe.toml", "model.keras", "unknown.npz"
PRETRAINED_FILE, HELD_OUT_FILE = "pretrained.npz", "held_out.npz"
HASHES_FILE = "hashes.npz"


def holds_run(folder: Path) -> bool:
    """Returns whether a folder holds a run, finished or not.

    Raises:
        RunError: It holds something else, or is a file.
    """
    is_file = folder.exists() and not folder.is_dir()
    taken = is_file or bool(foreign_files(folder))
    if taken and not (folder / RECIPE_FILE).is_file():
        raise RunError(
            f"{folder} exists and is no run",
            expected="a new directory",
            mend="choose another --out",
        )
    return taken


def check_has_model(folder: Path) -> None:
    """Checks that a folder holds a run with a classifier.

    Raises:
        RunError: There is no run, or it has no model yet.
    """
    if not (folder / RECIPE_FILE).is_file():
        raise RunError(
            f"{folder} is no run",
            expected="a directory that `zoo train --out` wrote",
            received=f"no {RECIPE_FILE} in it" if folder.exists() else "no directory",
        )
    if (folder / MODEL_FILE).is_file():
        return
    if (pretrained := folder / PRETRAINED_FILE).is_file():
        raise RunError(
            f"{folder} holds a backbone pretrained without labels, and no classifier",
            mend=f"train one on it: zoo train DATA --backbone {shlex.quote(str(pretrained))} "
            "--out RUN",
        )
    raise RunError(
        f"{folder} has no model yet", mend="finish it: zoo train DATA --out RUN --resume"
    )


def remove_training(folder: Path) -> None:
    """Removes what a training left in a folder, so that another one can begin there.

    What was searched stays.

    Args:
        folder: A run folder that this process has claimed.
    """
    # metrics.json is first, because a run that has it is finished.
    names = ["metrics.json", MODEL_FILE, UNKNOWN_FILE, HELD_OUT_FILE, HASHES_FILE, "checkpoint"]
    for name in (
        *names,
        "history.csv",
        "confusion.csv",
        "logs",
        "images.json",
        "labels.json",
        RECIPE_FILE,
    ):
        path = folder / name
        if path.is_dir():
            with naming_file(path):
                shutil.rmtree(path)
        else:
            remove_file(path)


def foreign_files(folder: Path) -> set[str]:
    """Returns the names in a folder that a job may not meet where it begins.

    Without the curve of `zoo train --find-lr`, which lies where the run will be, the claim,
    and what a killed job left half written.

    Args:
        folder: A run folder to be; it may be missing.
    """
    if not folder.is_dir():
        return set()
    held = {path.name for path in folder.iterdir() if not is_temporary(path.name)}
    return held - {FIND_LR_PICTURE, FIND_LR_TABLE, CLAIM_FILE}
