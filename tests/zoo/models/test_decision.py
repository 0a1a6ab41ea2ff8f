"""Decision rules: the same by NumPy and in a graph, and refused where they are damaged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from zoo.models.decision import (
    SET_METHODS,
    LabelRule,
    PredictionSetRule,
    adaptive_scores,
    read_rules,
    set_output,
)
from zoo.tasks import Task, classification

NAMES = ("ant", "bee", "wasp")
TASKS = (Task("kind", "single_label", class_names=NAMES), Task("tags", "multi_label", "t", NAMES))
ROWS = np.random.default_rng(0).dirichlet(np.ones(3), 50).astype(np.float32)


def test_adaptive_score_is_the_mass_above_and_half_its_own() -> None:
    for row, scores in zip(ROWS, adaptive_scores(ROWS), strict=True):
        for own, score in zip(row, scores, strict=True):
            assert score == pytest.approx(row[row > own].sum() + own / 2, abs=1e-6)


@pytest.mark.train
@pytest.mark.parametrize(
    "rule",
    [*(PredictionSetRule(method, 0.6) for method in SET_METHODS), LabelRule((0.2, 0.5, 0.7))],
    ids=str,
)
def test_rule_is_the_same_in_a_graph(rule: Any) -> None:
    import tensorflow as tf
    from keras import ops

    graph = tf.function(lambda rows: rule.members(rows, ops))
    found = graph(tf.constant(ROWS)).numpy()
    assert found.dtype == bool
    np.testing.assert_array_equal(found, rule.members(ROWS))
    assert 0 < found.mean() < 1
    assert graph(tf.zeros((0, 3))).shape == (0, 3)
    # What the slack adds is what is near to the threshold.
    assert not (rule.members(ROWS, slack=-0.1) & ~found).any()
    assert not (found & ~rule.members(ROWS, slack=0.1)).any()


def test_rules_are_read_by_task() -> None:
    bare = {"method": "adaptive", "threshold": 0.25, "error_rate": 0.05, "num_images": 60}
    assert read_rules(bare, classification(NAMES)) == {"label": PredictionSetRule("adaptive", 0.25)}
    thresholds = dict(zip(reversed(NAMES), (0.1, 0.2, 0.3), strict=True))
    several = {"tasks": {"kind": bare, "tags": {"method": "f1", "thresholds": thresholds}}}
    assert read_rules(several, TASKS) == {
        "kind": PredictionSetRule("adaptive", 0.25),
        "tags": LabelRule((0.3, 0.2, 0.1)),
    }
    assert read_rules({}, TASKS) == read_rules({}, classification(NAMES)) == {}
    assert [set_output(task) for task in TASKS] == ["kind_prediction_set", "tags_prediction_set"]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"method": "adaptive"}, "no such rule: 'adaptive' with -1.0"),
        ({"method": "adaptive", "threshold": 1.5}, "no such rule"),
        ({"method": "adaptive", "threshold": float("nan")}, "no such rule"),
        ({"method": "other", "threshold": 0.5}, "no such rule: 'other'"),
        ({"threshold": 0.5}, "no such rule: None"),
    ],
)
def test_damaged_sets_are_refused(part: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_rules(part, classification(NAMES))


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"ant": 0.5}, "not those of its labels"),
        ({"ant": 0.5, "bee": 0.5, "wasp": 1.0}, "not between 0 and 1"),
        ({"ant": 0.5, "bee": 0.5, "wasp": float("nan")}, "not between 0 and 1"),
    ],
)
def test_damaged_thresholds_are_refused(thresholds: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_rules({"tasks": {"tags": {"method": "f1", "thresholds": thresholds}}}, TASKS)
