"""Exported networks that run without TensorFlow: ONNX, OpenVINO and LiteRT, opened by folder.

Their files are data: opening one runs no code of its own, unlike a SavedModel, so that no seal is
asked for. What is read is bounded, and checked against its description.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.recipe.recipe import Recipe
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.runtime.stderr import suppress_stderr
from pipelines.storage.exported_tasks import MEND, read_exported_tasks
from zoo.errors import InputError, RunError
from zoo.export.formats import FORMATS, Format
from zoo.export.portable import DESCRIPTION_FILE
from zoo.export.runtimes import OPEN, Network
from zoo.preprocessing import Preprocessing
from zoo.reading import parse_json, read_text
from zoo.tasks import Task

MAX_NETWORK_BYTES = 4 * 2**30
"""Bytes of a file beside a network, at most; what parses them is native code."""

_MAX_DESCRIPTION_BYTES = 2**20

_BACKBONE = "micro_resnet_s"
"""Stands in the recipe for the backbone, which is in the network's file; it takes any size."""


@dataclass(frozen=True)
class ExportedNetwork:
    """A network with what it wants of images and what it predicts.

    Args:
        path: The version's folder.
        row: Its format.
        network: Maps images uint8 [B, S, S, 3] to outputs by name.
        outputs: The names of the outputs.
        recipe: A recipe with its preprocessing, for how images are read.
        tasks: What it predicts.
    """

    path: Path
    row: Format
    network: Network
    outputs: frozenset[str]
    recipe: ResolvedRecipe
    tasks: tuple[Task, ...]

    @property
    def preprocessing(self) -> Preprocessing:
        """Turns a file into the network's input."""
        return self.recipe.input.preprocessing


def find_exported_network(path: Path) -> Path | None:
    """Returns the folder itself, or that of the highest version in it; None if there is none."""
    if os.path.isfile(path / DESCRIPTION_FILE):
        return path
    try:
        names = [name for name in os.listdir(path) if name.isdecimal()]
    except OSError:
        return None
    # The highest version of any format counts: below a newer SavedModel this one is outdated.
    newest = max(names, key=int, default="")
    found = bool(newest) and os.path.isfile(path / newest / DESCRIPTION_FILE)
    return path / newest if found else None


def open_exported_network(folder: Path) -> ExportedNetwork:
    """Opens a version's folder.

    Args:
        folder: From `find_exported_network`.

    Raises:
        RunError: A file of it is missing, damaged, too large or does not fit the others.
        InputError: The runtime of its format is not installed.
    """
    row, recipe = _read_description(folder / DESCRIPTION_FILE)
    names = ("labels.txt", "tasks.json")
    description = next((folder / n for n in names if (folder / n).is_file()), None)
    if description is None:
        raise RunError(f"{folder} is damaged", expected="labels.txt or tasks.json", mend=MEND)
    tasks = read_exported_tasks(description)
    row.check_installed(row.packages[:1])
    try:
        _check_files(folder)
        with suppress_stderr():  # LiteRT says how it computes
            network = OPEN[row.name](folder)
            outputs = _check_outputs(network, recipe.input.preprocessing.size, tasks)
    # Each runtime has its own errors for a file that it cannot read.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise RunError(f"{folder} cannot be opened: {reason}", mend=MEND) from error
    return ExportedNetwork(folder, row, network, outputs, recipe, tasks)


def _read_description(file: Path) -> tuple[Format, ResolvedRecipe]:
    """Reads model.json.

    Raises:
        RunError: It is damaged, or of a format that this version does not know.
    """
    try:
        values = parse_json(read_text(file, max_bytes=_MAX_DESCRIPTION_BYTES))
        preprocessing = Preprocessing(**values["preprocessing"])
        row = FORMATS[values["format"]]
        if row.convert is None:
            raise ValueError(f"{row.name} has no such file")
        settings = {"backbone": {"name": _BACKBONE}, "input": preprocessing.model_dump()}
        return row, Recipe.from_settings(settings).resolve()
    except (OSError, ValueError, KeyError, TypeError, ValidationError, InputError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RunError(f"{file} cannot be read: {reason}", mend=MEND) from None


def _check_files(folder: Path) -> None:
    """Checks, before a runtime opens any file, that it could read them to their end.

    Raises:
        ValueError: One is too large, or no regular file, which might never end.
        OSError: One cannot be read.
    """
    for path in folder.iterdir():
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            continue
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path.name} is no regular file")
        if status.st_size > MAX_NETWORK_BYTES:
            raise ValueError(
                f"{path.name} has {status.st_size:,} bytes, above {MAX_NETWORK_BYTES:,}"
            )


def _check_outputs(network: Network, size: int, tasks: tuple[Task, ...]) -> frozenset[str]:
    """Checks that a network predicts what its tasks say, by a black image; names its outputs.

    Raises:
        ValueError: It does not.
    """
    import numpy as np

    outputs: dict[str, Any] = network(np.zeros((1, size, size, 3), np.uint8))
    for task in tasks:
        shape = outputs[task.output].shape if task.output in outputs else ()
        num_outputs = int(np.prod(shape[1:])) if shape else 0
        if num_outputs != task.num_outputs:
            raise ValueError(
                f"{task.output} has {num_outputs} values, and {task.num_outputs} are described"
            )
    return frozenset(outputs)
