"""Prediction sets of an export: compared with the run's rule, and empty for broken images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zoo.errors import ExportError
from zoo.export.signatures import TOLERANCE, build_outputs, compare_outputs
from zoo.models.decision import SET_METHODS, DecisionRule, LabelRule, PredictionSetRule
from zoo.tasks import Task

FILES = [Path(f"{index}.jpg") for index in range(40)]
ROWS = np.random.default_rng(0).dirichlet(np.ones(3), 40).astype(np.float32)
NAMES = ("ant", "bee", "wasp")
KIND, TAGS = (Task(kind, kind, class_names=NAMES) for kind in ("single_label", "multi_label"))
RULES: list[tuple[Task, DecisionRule]] = [
    *((KIND, PredictionSetRule(method, 0.6)) for method in SET_METHODS),
    (TAGS, LabelRule((0.2, 0.5, 0.7))),
]


def export(task: Task, rows: np.ndarray, rule: DecisionRule) -> dict[str, Any]:
    import tensorflow as tf

    outputs = build_outputs(task, tf.constant(rows), rule)
    found = {name: value.numpy() for name, value in outputs.items()}
    return {name: v.astype(str) if v.dtype == object else v for name, v in found.items()}


@pytest.mark.train
@pytest.mark.parametrize(("task", "rule"), RULES, ids=str)
def test_sets_are_compared_with_the_rule(task: Task, rule: DecisionRule) -> None:
    outputs = export(task, ROWS, rule)
    name = f"{task.name}_prediction_set"
    np.testing.assert_array_equal(outputs[name], rule.members(ROWS))
    assert compare_outputs("serving_bytes", task, outputs, ROWS, FILES, rule) == 0
    wrong = outputs[name].copy()
    wrong[7] = ~wrong[7]
    with pytest.raises(ExportError, match=r"other prediction sets than its run.*others for 7\.jpg"):
        compare_outputs("serving_bytes", task, {**outputs, name: wrong}, ROWS, FILES, rule)
    cut = {**outputs, name: outputs[name][:, :2]}
    with pytest.raises(ExportError, match="other prediction sets"):
        compare_outputs("serving_bytes", task, cut, ROWS, FILES, rule)


@pytest.mark.train
def test_class_may_pass_the_threshold_by_rounding() -> None:
    rule = PredictionSetRule("least_ambiguous", float(1 - ROWS[3, 1]) - TOLERANCE / 2)
    outputs = export(KIND, ROWS, rule)
    members = outputs["single_label_prediction_set"]
    assert not members[3, 1]
    members[3, 1] = True
    assert compare_outputs("serving_bytes", KIND, outputs, ROWS, FILES, rule) == 0


@pytest.mark.train
def test_sets_of_broken_images_are_empty() -> None:
    import tensorflow as tf

    from zoo.export.broken_images import mask_outputs

    found = {"label_prediction_set": tf.constant([[True, False]] * 2)}
    masked = mask_outputs(found, tf.constant([True, False]))
    assert masked["label_prediction_set"].numpy().tolist() == [[True, False], [False, False]]
