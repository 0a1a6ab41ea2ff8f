"""Divergence: training that ended far above the loss of guessing, and what to try."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from zoo.tasks import Task

FACTOR = 50.0
"""Multiple of the loss of guessing from which training counts as diverged."""


def loss_of_guessing(tasks: Sequence[Task]) -> float:
    """Returns the loss of a model that knows nothing: all classes alike, the mean number."""
    losses = {
        "single_label": lambda task: math.log(max(2, task.num_outputs)),
        "multi_label": lambda task: math.log(2),
        "regression": lambda task: 1.0,  # numbers are standardized
    }
    return sum(losses[task.kind](task) for task in tasks)


def describe_divergence(history: Sequence[Mapping[str, Any]], tasks: Sequence[Task]) -> str:
    """Returns what to tell of a job whose loss is finite and yet useless; empty if it is not.

    Args:
        history: A row an epoch, as `pipelines.storage.checkpoint.History` has them.
        tasks: What was learned.

    Example:
        >>> from zoo.tasks import classification
        >>> rows = [{"epoch": 1, "phase": "head", "loss": 4e8, "learning_rate": 10.0}]
        >>> describe_divergence(rows, classification(["ant", "bee"])).split(";")[0]
        'training diverged: the loss of phase head ends at 4e+08, where guessing has 0.693'
    """
    chance = loss_of_guessing(tasks)
    last_of_phases = {row["phase"]: row for row in history}
    for phase, row in last_of_phases.items():
        if row["loss"] is None or row["loss"] <= FACTOR * chance:
            continue
        setting = "fine_tune" if str(phase).startswith("fine_tune") else "optimizer"
        rate = row["learning_rate"]
        return (
            f"training diverged: the loss of phase {phase} ends at {row['loss']:.3g}, where "
            f"guessing has {chance:.3g}; the learning rate was {rate:.2g}: try "
            f"--set {setting}.learning_rate={rate / 10:.2g}, ask zoo train --find-lr, or set "
            "optimizer.clip=global_norm"
        )
    return ""
