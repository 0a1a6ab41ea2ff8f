"""Outputs as JSON: several tasks, prediction sets and unknown scores; those of a broken image."""

from __future__ import annotations

import json

import numpy as np

from pipelines.evaluation.predictions import Answers
from pipelines.serving.server.outputs import as_columns, build_rows, describe_outputs
from pipelines.serving.server.served_model import Outcome
from zoo.tasks import Task

TASKS = (
    Task("tint", "single_label", class_names=("blue", "green", "red")),
    Task("marks", "multi_label", class_names=("dots", "lines")),
    Task("angle", "regression"),
)
ANSWERS = Answers(
    {
        "tint": np.array([[0.25, 0.5, 0.25]], np.float32),
        "marks": np.array([[0.75, 0.125]], np.float32),
        "angle": np.array([[12.5]], np.float32),
    },
    np.array([1.5], np.float32),
    {"tint": np.array([[True, True, False]]), "marks": np.array([[True, False]])},
)
ROW = {
    "tint_probabilities": [0.25, 0.5, 0.25],
    # Of equal ones the first in the order of the classes, as of tf.math.top_k.
    "tint_top_labels": ["green", "blue", "red"],
    "tint_top_scores": [0.5, 0.25, 0.25],
    "tint_prediction_set": [True, True, False],
    "marks_probabilities": [0.75, 0.125],
    "marks_prediction_set": [True, False],
    "angle_value": 12.5,
    "unknown_score": 1.5,
    "is_unknown": True,
}


def test_row_has_every_output_of_every_task() -> None:
    assert build_rows(TASKS, [Outcome("", ANSWERS)], ANSWERS, files=False) == [ROW]
    (row,) = build_rows(TASKS, [Outcome("", ANSWERS)], ANSWERS, files=True)
    assert row == {**ROW, "valid": True}


def test_row_of_a_broken_image_has_the_same_shapes() -> None:
    outcomes = [Outcome("cut off", Answers()), Outcome("", ANSWERS)]
    broken, whole = build_rows(TASKS, outcomes, ANSWERS, files=True)
    assert broken == {
        "tint_probabilities": [None] * 3,
        "tint_top_labels": [""] * 3,
        "tint_top_scores": [None] * 3,
        "tint_prediction_set": [False] * 3,
        "marks_probabilities": [None] * 2,
        "marks_prediction_set": [False] * 2,
        "angle_value": None,
        "unknown_score": None,
        "is_unknown": True,
        "valid": False,
        "error": "cut off",
    }
    columns = as_columns([broken, whole])
    assert columns["angle_value"] == [None, 12.5]
    assert columns["error"] == ["cut off", ""]
    json.dumps(columns, allow_nan=False)


def test_description_names_types_and_sizes() -> None:
    assert describe_outputs(TASKS, ANSWERS) == {
        "tint_probabilities": ("DT_FLOAT", 3),
        "tint_top_labels": ("DT_STRING", 3),
        "tint_top_scores": ("DT_FLOAT", 3),
        "tint_prediction_set": ("DT_BOOL", 3),
        "marks_probabilities": ("DT_FLOAT", 2),
        "marks_prediction_set": ("DT_BOOL", 2),
        "angle_value": ("DT_FLOAT", 0),
        "unknown_score": ("DT_FLOAT", 0),
        "is_unknown": ("DT_BOOL", 0),
    }
