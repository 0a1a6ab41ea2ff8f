"""Records of a run: JSON files read back, and rows as CSV."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from zoo.config import first_problem
from zoo.errors import RunError
from zoo.reading import parse_json, read_text
from zoo.tasks import Task, classification

TRAIN_AGAIN = "train the run again"


def read_record(file: Path, kind: Any, *, mend: str = TRAIN_AGAIN) -> Any:
    """Reads a JSON file of a run.

    Args:
        file: The file.
        kind: The type of what it holds, down to what is in it: `list`, `dict[str, int]`, a
            TypedDict.
        mend: What to do about a damaged file.

    Raises:
        RunError: The file is missing or damaged.
    """
    try:
        value = parse_json(read_text(file))
    except (OSError, ValueError) as error:
        raise RunError(f"{file} cannot be read", received=str(error)[:120]) from None
    try:
        # Strict: what is of another type stays so, and is refused instead of converted.
        _adapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        problem = first_problem(error)
        raise RunError(
            f"{file} is damaged",
            expected=" ".join([".".join(problem.path), problem.message]).strip(),
            received=problem.received[:40],
            mend=mend,
        ) from None
    return value


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def read_tasks(file: Path, *, mend: str = TRAIN_AGAIN) -> tuple[Task, ...]:
    """Reads labels.json: the classes of a plain classifier, or tasks.

    Args:
        file: The file.
        mend: What to do about a damaged one.

    Raises:
        RunError: The file is missing or damaged.
    """
    values = read_record(file, list, mend=mend)
    try:
        if values and all(isinstance(value, dict) for value in values):
            tasks = tuple(Task.from_json(value) for value in values)
        else:
            tasks = classification(values)
        for task in tasks:
            check_names(task.class_names)
    except ValueError as error:
        raise RunError(f"{file} is damaged: {error}", mend=mend) from None
    return tasks


def check_names(names: Sequence[Any]) -> None:
    """Checks the names of classes or labels.

    Raises:
        ValueError: One is no text, or occurs twice.
    """
    wrong = next((name for name in names if not isinstance(name, str)), None)
    if wrong is not None or None in names:
        raise ValueError(f"the class {wrong!r} is no text")
    if len(set(names)) != len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise ValueError(f"the class {twice!r} occurs twice")


def format_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns rows of the same keys as CSV text, with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def read_history(file: Path) -> list[dict[str, str]]:
    """Reads history.csv, a row an epoch; values are text, empty where an epoch has none.

    Args:
        file: The file; where there is none, there are no rows.

    Raises:
        RunError: The file is damaged.
    """
    if not file.is_file():
        return []
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            rows = list(csv.DictReader(opened, strict=True))
        for row in rows:
            for name, text in row.items():
                if name != "phase":
                    float(text or "nan")
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise RunError(f"{file} is damaged", received=str(error)[:120], mend=TRAIN_AGAIN) from None
    return rows
