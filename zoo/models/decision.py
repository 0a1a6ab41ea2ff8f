"""Rules that turn the probabilities of a task into the classes or labels that count as the answer.

Of classes it is a prediction set, which holds the right class for a stated share of images; of
labels, those whose probability is at least their threshold.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo.table import Table
from zoo.tasks import Task

Floats = npt.NDArray[np.float32]

PREDICTION_SET = "prediction_set"
"""Output of exported models, bool [B, K]: which classes or labels are in the answer."""

ROUNDING = 1e-6
"""What rounding to 32 bits may change in a score; what is so near to the threshold is within."""


def set_output(task: Task) -> str:
    """Returns the name of a task's prediction set among the outputs of an exported model."""
    return f"{task.prefix}{PREDICTION_SET}"


class DecisionRule(ABC):
    """Which classes or labels of a task are in the answer, by their probabilities."""

    def members(self, probabilities: Any, ops: Any = np, slack: float = 0.0) -> Any:
        """Returns which classes or labels are in the answer.

        Args:
            probabilities: float32 [N, K].
            ops: `numpy` or `keras.ops`, of whose kind `probabilities` is.
            slack: By how much the threshold is relaxed; tightened if it is negative.

        Returns:
            bool [N, K].
        """
        return self._members(probabilities, ops, slack)

    @abstractmethod
    def _members(self, probabilities: Any, ops: Any, slack: float) -> Any:
        """Returns `members`."""


@dataclass(frozen=True)
class PredictionSetRule(DecisionRule):
    """Classes whose score is at most a threshold.

    Args:
        method: A row of SET_METHODS.
        threshold: 0 to 1; at 1, all classes are in every set.
    """

    method: str
    threshold: float

    def _members(self, probabilities: Any, ops: Any, slack: float) -> Any:
        scores = SET_METHODS[self.method].scores(probabilities, ops)
        return scores <= self.threshold + ROUNDING + slack


@dataclass(frozen=True)
class LabelRule(DecisionRule):
    """Labels whose probability is at least their threshold.

    Args:
        thresholds: One for each label, above 0, below 1.
    """

    thresholds: tuple[float, ...]

    def _members(self, probabilities: Any, ops: Any, slack: float) -> Any:
        return probabilities >= np.array(self.thresholds, np.float32) - np.float32(slack)


@dataclass(frozen=True)
class SetMethod:
    """A score of every class for an image: the lower, the sooner the class is in the set.

    Args:
        name: The key in SET_METHODS.
        summary: What the score is.
        scores: Computes scores [N, C], 0 to 1, from probabilities [N, C] by NumPy or `keras.ops`.
    """

    name: str
    summary: str
    scores: Callable[[Any, Any], Any]


def least_ambiguous_scores(probabilities: Any, ops: Any = np) -> Any:
    """Computes the probability that an image is not of a class, [N, C]: sets are small on average.

    Args:
        probabilities: [N, C].
        ops: `numpy` or `keras.ops`.

    Reference: Sadinle et al., 2019, https://arxiv.org/abs/1609.00451

    Example:
        >>> least_ambiguous_scores(np.array([[0.7, 0.2, 0.1]])).round(2).tolist()
        [[0.3, 0.8, 0.9]]
    """
    return 1.0 - probabilities


def adaptive_scores(probabilities: Any, ops: Any = np) -> Any:
    """Computes the probability of all likelier classes and half that of the class itself, [N, C].

    Sets are large where the model is in doubt. The paper draws which part of the class's own
    probability counts; a half is its mean, and the same image always has the same set.

    Args:
        probabilities: [N, C].
        ops: `numpy` or `keras.ops`.

    Reference: Romano et al., 2020, https://arxiv.org/abs/2006.02544

    Example:
        >>> adaptive_scores(np.array([[0.7, 0.2, 0.1]])).round(2).tolist()
        [[0.35, 0.8, 0.95]]
    """
    order = ops.argsort(-probabilities, axis=1)
    ordered = ops.take_along_axis(probabilities, order, axis=1)
    sums = ops.cumsum(ordered, axis=1) - ordered / 2
    return ops.take_along_axis(sums, ops.argsort(order, axis=1), axis=1)


SET_METHODS: Table[SetMethod] = Table(
    "method of prediction sets",
    [
        SetMethod(
            "least_ambiguous",
            "every class above one probability: the smallest sets on average",
            least_ambiguous_scores,
        ),
        SetMethod(
            "adaptive",
            "the likeliest classes up to a sum of probabilities: larger sets for harder images",
            adaptive_scores,
        ),
    ],
)


def read_rules(record: Mapping[str, Any], tasks: Sequence[Task]) -> dict[str, DecisionRule]:
    """Returns the rules that a run's metrics.json holds as `decision`, by task.

    Args:
        record: See `pipelines.storage.split_metrics.Decision`.
        tasks: What the model predicts.

    Raises:
        ValueError: A threshold is missing or out of range, or a method unknown.
    """
    found: dict[str, DecisionRule] = {}
    parts = {tasks[0].name: record} if tasks[0].bare else record.get("tasks", {})
    for task in tasks:
        if part := parts.get(task.name):
            found[task.name] = _read_rule(part, task)
    return found


def _read_rule(part: Mapping[str, Any], task: Task) -> DecisionRule:
    if task.kind == "multi_label":
        thresholds = part.get("thresholds", {})
        if set(thresholds) != set(task.class_names):
            raise ValueError(f"thresholds of {task.name} are not those of its labels")
        values = tuple(float(thresholds[name]) for name in task.class_names)
        if not all(0 < value < 1 for value in values):
            raise ValueError(f"a threshold of {task.name} is not between 0 and 1")
        return LabelRule(values)
    method, threshold = part.get("method"), part.get("threshold", -1.0)
    if task.kind != "single_label" or method not in SET_METHODS or not 0 <= threshold <= 1:
        raise ValueError(f"{task.name} has no such rule: {method!r} with {threshold}")
    return PredictionSetRule(str(method), float(threshold))
