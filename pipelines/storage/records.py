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


def read_record(file: Path, kind: Any) -> Any:
    """Reads a JSON file of a run.

    Args:
        file: The file.
        kind: The type of what it holds, down to what is in it: `list`, `dict[str, int]`, a
            TypedDict.

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
            mend="train the run again",
        ) from None
    return value


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def read_tasks(file: Path) -> tuple[Task, ...]:
    """Reads labels.json: the classes of a plain classifier, or tasks.

    Raises:
        RunError: The file is missing or damaged.
    """
    values = read_record(file, list)
    try:
        if values and all(isinstance(value, dict) for value in values):
            tasks = tuple(Task.from_json(value) for value in values)
        else:
            tasks = classification(values)
        for task in tasks:
            _check_names(task.class_names)
    except ValueError as error:
        raise RunError(f"{file} is damaged: {error}", mend="train the run again") from None
    return tasks


def _check_names(names: Sequence[Any]) -> None:
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
