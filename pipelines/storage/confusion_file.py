"""confusion.csv: the confusion matrices of a run, a row for each pair of classes with images.

Of 1,000 classes nearly all of the million pairs of a split have no image, so only the others
are written: as many rows as images at most.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zoo.errors import RunError
from zoo.files import write_text

COLUMNS = ("split", "task", "true", "predicted", "images")
"""Heading; `task` is empty in a plain classifier."""

KEY = "confusion_matrix"

ConfusionMatrix = dict[str, dict[str, int]]
"""Number of images by true class, then by predicted class; pairs without images are absent."""


def split_off_confusion(
    metrics: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[tuple[str, str], ConfusionMatrix]]:
    """Separates the confusion matrices from the rest of a run's metrics.

    Args:
        metrics: Metrics by split, beside other values.

    Returns:
        The metrics without them, and the matrices by split and task.
    """
    rest = dict(metrics)
    found: dict[tuple[str, str], ConfusionMatrix] = {}
    for split, task, values in _tables(metrics):
        if KEY not in values:
            continue
        found[split, task] = values[KEY]
        kept = {key: value for key, value in values.items() if key != KEY}
        if task:
            others = rest[split]["tasks"]
            rest[split] = {**rest[split], "tasks": {**others, task: kept}}
        else:
            rest[split] = kept
    return rest, found


def write_confusion(path: Path, matrices: Mapping[tuple[str, str], ConfusionMatrix]) -> None:
    """Writes confusion.csv.

    Args:
        path: The file.
        matrices: By split and task.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for (split, task), matrix in matrices.items():
        for true, row in matrix.items():
            writer.writerows((split, task, true, predicted, n) for predicted, n in row.items())
    write_text(path, text.getvalue())


def with_confusion(metrics: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Returns a run's metrics with the matrices of confusion.csv in their places.

    Args:
        metrics: Metrics by split, beside other values.
        path: The file; where there is none, nothing is added.

    Raises:
        RunError: The file is damaged.
    """
    if not path.is_file():
        return dict(metrics)
    matrices = _read_confusion(path)
    merged = dict(metrics)
    for split, task, values in _tables(metrics):
        if "accuracy" not in values:
            continue
        matrix = matrices.get((split, task), {})
        counted = sum(count for row in matrix.values() for count in row.values())
        if counted != values["num_images"]:
            of = f"{split}, task {task}" if task else split
            raise _damaged(path, f"{counted} of {values['num_images']} images of {of}")
        full = {**values, KEY: matrix}
        if task:
            full = {**merged[split], "tasks": {**merged[split]["tasks"], task: full}}
        merged[split] = full
    return merged


def _tables(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yields split, task and metrics of each task; the task of a plain classifier is empty."""
    for split in ("train", "val", "test"):
        if split not in metrics:
            continue
        yield split, "", metrics[split]
        for task, values in metrics[split].get("tasks", {}).items():
            yield split, task, values


def _read_confusion(path: Path) -> dict[tuple[str, str], ConfusionMatrix]:
    matrices: dict[tuple[str, str], ConfusionMatrix] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, strict=True):
                matrix = matrices.setdefault((row["split"], row["task"]), {})
                matrix.setdefault(row["true"], {})[row["predicted"]] = int(row["images"])
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise _damaged(path, str(error)[:120]) from None
    return matrices


def _damaged(path: Path, received: str) -> RunError:
    return RunError(f"{path} is damaged", received=received, mend="train the run again")
