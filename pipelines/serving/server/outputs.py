"""Outputs of a model as JSON values: the names and shapes of an exported model's signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.evaluation.predictions import Answers
from pipelines.serving.server.served_model import Outcome
from zoo.export.broken_images import broken_value
from zoo.export.signatures import TOP_K, output_names
from zoo.models.decision import set_output
from zoo.models.unknown import IS_UNKNOWN, UNKNOWN_SCORE
from zoo.tasks import Task

Row = dict[str, Any]
"""The outputs for an image, by name."""


def build_rows(
    tasks: Sequence[Task], outcomes: Sequence[Outcome], example: Answers, *, files: bool
) -> list[Row]:
    """Returns the outputs for each image.

    Args:
        tasks: What the model predicts.
        outcomes: Of N images.
        example: The model's answers for one image, by which a broken one has the same outputs.
        files: Whether the images came as files, for which an export has `valid`.

    Returns:
        N rows. That of a broken image has null in place of every number, empty labels, and
        `error`.
    """
    nothing = {name: _blank(name, value) for name, value in _build_row(tasks, example).items()}
    rows = []
    for outcome in outcomes:
        row = dict(nothing) if outcome.problem else _build_row(tasks, outcome.answers)
        if files:
            row["valid"] = not outcome.problem
        if outcome.problem:
            row["error"] = outcome.problem
        rows.append(row)
    return rows


def as_columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Returns rows as a list for each output; `error` is there if any row has it.

    Args:
        rows: From `build_rows`, one or more.

    Example:
        >>> as_columns([{"value": 1.0}, {"value": None, "error": "cut off"}])
        {'value': [1.0, None], 'error': ['', 'cut off']}
    """
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name, "") for row in rows] for name in names}


def describe_outputs(tasks: Sequence[Task], example: Answers) -> Mapping[str, tuple[str, int]]:
    """Returns the type and the size of each output, as TensorFlow names types.

    Args:
        tasks: What the model predicts.
        example: The model's answers for one image.

    Returns:
        By name `DT_FLOAT`, `DT_STRING` or `DT_BOOL`, and the values of an image; 0 for one that
        is no list.
    """
    types = {float: "DT_FLOAT", str: "DT_STRING", bool: "DT_BOOL"}
    found = {}
    for name, value in _build_row(tasks, example).items():
        one = value[0] if isinstance(value, list) else value
        found[name] = (types[type(one)], len(value) if isinstance(value, list) else 0)
    return found


def _build_row(tasks: Sequence[Task], answers: Answers) -> Row:
    """Returns the outputs for the only image of some answers."""
    row: Row = {}
    for task in tasks:
        (values,) = answers.predictions[task.name]
        if task.kind == "regression":
            row[task.output] = float(values[0])
            continue
        row[task.output] = values.tolist()
        if task.kind == "single_label":
            best = np.argsort(-values, kind="stable")[:TOP_K]
            _, labels, scores = output_names(task)
            row[labels] = [task.class_names[i] for i in best]
            row[scores] = values[best].tolist()
        if task.name in answers.sets:
            row[set_output(task)] = answers.sets[task.name][0].tolist()
    if answers.unknown_scores is not None:
        score = float(answers.unknown_scores[0])
        row |= {UNKNOWN_SCORE: score, IS_UNKNOWN: score > 1}
    return row


def _blank(name: str, value: Any) -> Any:
    """Returns what an output is for a broken image; JSON has null for NaN."""
    if isinstance(value, list):
        return [_blank(name, one) for one in value]
    if isinstance(value, float):
        return None
    return broken_value(name, "bool" if isinstance(value, bool) else "string")
