"""Tasks: what a model is asked about an image, and in which form it answers.

Most models have the one nameless task of telling classes apart, and answer with one
tensor. A model of several tasks answers with a dictionary of tensors, by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from zoo.table import Table

T = TypeVar("T")

LABEL = "label"
"""The column that every data set has whose images are of one class each."""


@dataclass(frozen=True)
class TaskKind:
    """A kind of question.

    Args:
        name: The key in TASK_KINDS.
        summary: When to use it.
        has_classes: Whether its answers are about named classes.
    """

    name: str
    summary: str
    has_classes: bool = True


TASK_KINDS: Table[TaskKind] = Table(
    "kind of task",
    [
        TaskKind("single_label", "each image is of exactly one class: softmax"),
        TaskKind("multi_label", "each image has any number of labels, perhaps none: sigmoids"),
        TaskKind("regression", "each image has a number: a linear output", has_classes=False),
    ],
)


@dataclass(frozen=True)
class Task:
    """One question and the form of its answer.

    Args:
        name: What it is called; empty where it is the only one and needs no name.
        kind: A row of TASK_KINDS.
        column: Where a data set has the right answers.
        class_names: C of them, in the order of the outputs; none for a number, and
            none before the data were read.
        mean: Of a number over the training images; the network learns (y − mean) / std.
        std: Its standard deviation there, above 0.
    """

    name: str
    kind: str
    column: str = LABEL
    class_names: tuple[str, ...] = ()
    mean: float = 0.0
    std: float = 1.0

    @property
    def num_outputs(self) -> int:
        """K: how many values the answer to one image has."""
        return len(self.class_names) if TASK_KINDS[self.kind].has_classes else 1

    @property
    def prefix(self) -> str:
        """What the names of its layers and outputs begin with."""
        return f"{self.name}_" if self.name else ""

    @property
    def output(self) -> str:
        """What its answer is called, in a model and in an exported one."""
        kind = "probabilities" if TASK_KINDS[self.kind].has_classes else "value"
        return f"{self.prefix}{kind}"

    def to_json(self) -> dict[str, Any]:
        """Returns values that JSON has, from which `from_json` makes the same task."""
        return asdict(self) | {"class_names": list(self.class_names)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Task:
        """Returns the task that `to_json` wrote down.

        Raises:
            ValueError: They are the values of none.
        """
        try:
            task = cls(**{**values, "class_names": tuple(values["class_names"])})
            TASK_KINDS[task.kind]
        except (KeyError, TypeError) as error:
            raise ValueError(f"these are no values of a task: {error}") from None
        return task


def classes(class_names: Sequence[str]) -> tuple[Task, ...]:
    """Returns the tasks of a plain classifier: one, without a name."""
    return (Task("", "single_label", class_names=tuple(class_names)),)


def pack(values: Mapping[str, T]) -> T | dict[str, T]:
    """Returns a value for each task in the form that models take and give.

    Args:
        values: By the task's name, in the order of the tasks.

    Returns:
        The value itself for one nameless task, else a dictionary.

    Example:
        >>> pack({"": 1}), pack({"size": 1, "color": 2})
        (1, {'size': 1, 'color': 2})
    """
    return values[""] if "" in values else dict(values)


def unpack(tasks: Sequence[Task], values: Any) -> dict[str, Any]:
    """Returns what a model took or gave by the tasks' names; undoes `pack`."""
    return {task.name: values[task.name] if task.name else values for task in tasks}
