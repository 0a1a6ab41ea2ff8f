"""Tasks: what a model predicts about an image.

Labels, weights, losses, predictions and metrics are dictionaries by the task's name, with
one entry for a plain classifier. Only at the edges (the Keras model, what it is fitted on,
an exported model, JSON) does a plain classifier have the bare value; see `wrap` and
`unwrap`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

from zoo.table import Table

T = TypeVar("T")

LABEL = "label"
"""The column of a data set that holds each image's class, and the task that predicts it."""


@dataclass(frozen=True)
class TaskKind:
    """A kind of task.

    Args:
        name: The key in TASK_KINDS.
        summary: When to use it.
        has_classes: Whether it predicts named classes or labels, rather than a number.
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
    """One thing that a model predicts about an image.

    Args:
        name: The key of its labels, weights, predictions and metrics.
        kind: A row of TASK_KINDS.
        column: The column of a data set that holds its labels.
        class_names: C names in the order of the outputs; empty for a number, and before
            the data are read.
        mean: Mean of a number over the training images; the network learns
            (y − mean) / std.
        std: Its standard deviation over the training images, above 0.
        bare: Whether it is the one task of a plain classifier: the Keras model gives a
            tensor instead of a dictionary, and its layers and outputs carry no prefix.
    """

    name: str
    kind: str
    column: str = LABEL
    class_names: tuple[str, ...] = ()
    mean: float = 0.0
    std: float = 1.0
    # Not in the repr, which the digest of a data set covers.
    bare: bool = field(default=False, repr=False)

    @property
    def num_outputs(self) -> int:
        """K, the number of values predicted for one image."""
        return len(self.class_names) if TASK_KINDS[self.kind].has_classes else 1

    @property
    def prefix(self) -> str:
        """The prefix of the names of its layers and outputs."""
        return "" if self.bare else f"{self.name}_"

    @property
    def output(self) -> str:
        """The name of its predictions' output, in a Keras model and in an exported one."""
        kind = "probabilities" if TASK_KINDS[self.kind].has_classes else "value"
        return f"{self.prefix}{kind}"

    def to_json(self) -> dict[str, Any]:
        """Returns a named task as JSON values, which `from_json` reads."""
        values = asdict(self) | {"class_names": list(self.class_names)}
        del values["bare"]
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Task:
        """Returns the task that `to_json` wrote.

        Raises:
            ValueError: A key is missing or unknown, or the kind is.
        """
        try:
            task = cls(**{**values, "class_names": tuple(values["class_names"])})
            TASK_KINDS[task.kind]
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the values of a task: {error}") from None
        return task


CLASSIFICATION = Task(LABEL, "single_label", bare=True)
"""The one task of a plain classifier, before its classes are known."""


def classification(class_names: Sequence[str]) -> tuple[Task, ...]:
    """Returns the tasks of a plain classifier: one, bare, with these classes."""
    return (replace(CLASSIFICATION, class_names=tuple(class_names)),)


def unwrap(tasks: Sequence[Task], values: Mapping[str, T]) -> T | dict[str, T]:
    """Returns a value for each task in the form that Keras models, exports and JSON have.

    Args:
        tasks: The model's.
        values: By the task's name.

    Returns:
        The value itself for a plain classifier, else a dictionary.

    Example:
        >>> unwrap([CLASSIFICATION], {"label": 1})
        1
        >>> unwrap([Task("size", "regression")], {"size": 1})
        {'size': 1}
    """
    return values[tasks[0].name] if tasks[0].bare else dict(values)


def wrap(tasks: Sequence[Task], values: Any) -> dict[str, Any]:
    """Returns what a Keras model takes or gives by the task's name; undoes `unwrap`."""
    return {task.name: values if task.bare else values[task.name] for task in tasks}
