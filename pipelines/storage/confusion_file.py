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

from pipelines.storage.split_metrics import MEASURED
from zoo.errors import RunError
from zoo.files import write_text

COLUMNS = ("split", "task", "true", "predicted", "images")
"""Heading; `task` is empty in a plain classifier."""

KEY = "confusion_matrix"

ConfusionMatrix = dict[str, dict[str, int]]
"""Number of images by true class, then by predicted class; pairs without images are absent."""


def write_confusion(path: Path, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Writes confusion.csv, if there is a matrix.

    Args:
        path: The file.
        metrics: Metrics by split, beside other values.

    Returns:
        The metrics without the matrices.
    """
    rest = dict(metrics)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    found = False
    for split, task, values in _tables(metrics):
        if KEY not in values:
            continue
        found = True
        for true, row in values[KEY].items():
            writer.writerows((split, task, true, predicted, n) for predicted, n in row.items())
        kept = {key: value for key, value in values.items() if key != KEY}
        rest[split] = _with_task(rest[split], task, kept)
    if found:
        write_text(path, text.getvalue())
    return rest


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
        if "accuracy" not in values or "num_images" not in values:
            continue
        matrix = matrices.get((split, task), {})
        counted = sum(count for row in matrix.values() for count in row.values())
        if counted != values["num_images"]:
            of = f"{split}, task {task}" if task else split
            raise _damaged(path, f"{counted} of {values['num_images']} images of {of}")
        merged[split] = _with_task(merged[split], task, {**values, KEY: matrix})
    return merged


def _with_task(metrics: Mapping[str, Any], task: str, values: dict[str, Any]) -> dict[str, Any]:
    """Returns the metrics of a split with those of one task replaced."""
    return {**metrics, "tasks": {**metrics["tasks"], task: values}} if task else values


def _tables(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yields split, task and metrics of each task; the task of a plain classifier is empty."""
    for split in MEASURED:
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
