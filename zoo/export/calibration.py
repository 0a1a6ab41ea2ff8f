"""What 8-bit integers are calibrated on and held to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo.models.decision import DecisionRule
from zoo.tasks import Task

MAX_DROP = 1.0
"""Points of accuracy that 8-bit integers may cost, unless another number is given."""


@dataclass(frozen=True)
class Calibration:
    """What 8-bit integers are calibrated on and held to.

    Args:
        images: Image files, from which the ranges of activations are taken.
        targets: True classes or labels of the images that the export is checked with, by task:
            int64 [N] or float32 [N, L].
        max_drop: Points of accuracy that may be lost, at least 0.
    """

    images: Sequence[Path]
    targets: Mapping[str, npt.NDArray[Any]]
    max_drop: float = MAX_DROP


@dataclass(frozen=True)
class Drop:
    """The accuracies of two networks on the same images, in single precision and in integers.

    Args:
        task: The task's name.
        accuracy: Of single precision, 0 to 1; of labels, the share of images with all right.
        integer_accuracy: Of integers.
        points: By how many points the latter is lower; negative where it is higher.
        interval: The 95 % interval of `points`.
    """

    task: str
    accuracy: float
    integer_accuracy: float
    points: float
    interval: tuple[float, float]

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"accuracy {self.integer_accuracy:.4f} against {self.accuracy:.4f}, "
            f"{self.points:.2f} points lower ({low:.2f} to {high:.2f}, 95 %)"
        )


def compute_drop(
    task: Task,
    targets: npt.NDArray[Any],
    expected: npt.NDArray[np.float32],
    found: npt.NDArray[np.float32],
    rule: DecisionRule | None = None,
) -> Drop:
    """Compares two networks' hits on the same images.

    Args:
        task: Of one or of several labels.
        targets: int64 [N] or float32 [N, L].
        expected: Probabilities in single precision, float32 [N, K].
        found: Those in integers.
        rule: Which labels are in the answer; those from one half on if it is None.

    Returns:
        The difference, with the interval of Agresti and Min, which adds half an image to each
        cell of the table of hits, and so has a width where no image changed.

    Reference: Agresti and Min, 2005, https://doi.org/10.1002/sim.1781

    Example:
        >>> task = Task("label", "single_label", class_names=("ant", "bee"))
        >>> right = np.array([[0.9, 0.1]] * 99 + [[0.2, 0.8]], np.float32)
        >>> wrong = np.array([[0.9, 0.1]] * 98 + [[0.2, 0.8]] * 2, np.float32)
        >>> print(compute_drop(task, np.zeros(100, np.int64), right, wrong))
        accuracy 0.9800 against 0.9900, 1.00 points lower (-1.73 to 3.69, 95 %)
    """
    first = _hits(task, targets, expected, rule)
    second = _hits(task, targets, found, rule)
    count = len(first) + 2
    lost = int((first & ~second).sum()) + 0.5
    gained = int((~first & second).sum()) + 0.5
    center = (lost - gained) / count
    margin = 1.96 * np.sqrt(lost + gained - (lost - gained) ** 2 / count) / count
    return Drop(
        task.name,
        float(first.mean()),
        float(second.mean()),
        100 * float(first.mean() - second.mean()),
        (100 * float(center - margin), 100 * float(center + margin)),
    )


def _hits(
    task: Task,
    targets: npt.NDArray[Any],
    probabilities: npt.NDArray[np.float32],
    rule: DecisionRule | None,
) -> npt.NDArray[np.bool_]:
    if task.kind == "single_label":
        return np.asarray(probabilities.argmax(axis=1) == targets)
    members = probabilities >= 0.5 if rule is None else rule.members(probabilities)
    return np.asarray((members == (targets > 0.5)).all(axis=1))
