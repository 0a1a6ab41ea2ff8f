"""Records of a run: JSON files read back, and rows as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import RunError
from zoo.tasks import Task, classification


def read_record(file: Path, kind: type) -> Any:
    """Reads a JSON file of a run.

    Args:
        file: The file.
        kind: `dict` or `list`, what it holds.

    Raises:
        RunError: The file is missing or damaged.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{file} cannot be read", received=str(error)[:120]) from None
    if not isinstance(value, kind):
        raise RunError(f"{file} is damaged", received=str(value)[:40], mend="train the run again")
    return value


def read_tasks(file: Path) -> tuple[Task, ...]:
    """Reads labels.json: the classes of a plain classifier, or tasks.

    Raises:
        RunError: The file is missing or damaged.
    """
    values = read_record(file, list)
    try:
        if values and all(isinstance(value, dict) for value in values):
            return tuple(Task.from_json(value) for value in values)
    except ValueError as error:
        raise RunError(f"{file} is damaged: {error}", mend="train the run again") from None
    return classification(values)


def format_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns rows of the same keys as CSV text, with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
