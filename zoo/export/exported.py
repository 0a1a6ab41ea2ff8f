"""A model as it is exported: the network, what it wants of images, and what it predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zoo.models.decision import DecisionRule
from zoo.models.unknown import UnknownScorer
from zoo.preprocessing import Preprocessing
from zoo.tasks import Task


@dataclass(frozen=True)
class Exported:
    """A model as it is exported.

    Args:
        model: A `keras.Model` from float32 [B, S, S, 3] in 0 to 255 to what `tasks` say.
        preprocessing: Turns a file into the model's input.
        tasks: What the model predicts.
        scorer: Of the features of the model's head; None exports no unknown scores.
        rules: Which classes or labels are in the answer, by task that has a rule.
    """

    model: Any
    preprocessing: Preprocessing
    tasks: Sequence[Task]
    scorer: UnknownScorer | None = None
    rules: Mapping[str, DecisionRule] = field(default_factory=dict)
