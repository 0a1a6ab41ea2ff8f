"""The sections `tasks` of a recipe: several heads, each with a loss, on one backbone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from pipelines.recipe.sections import TrainConfig
from tuning.optimization.losses import LOSSES, default_loss
from zoo.config import Config
from zoo.errors import RecipeError
from zoo.heads.head import Units
from zoo.tasks import CLASSIFICATION, TASK_KINDS, Task


def _fits(name: str) -> str:
    # Keras prefixes validation metrics by val_ and a task's metrics by its name.
    if name == "val" or name.startswith("val_"):
        expected = "a name that does not begin with val, the prefix of validation metrics"
        raise PydanticCustomError("task_name", expected)
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        expected = "up to 64 lower-case letters, digits and _, the first a letter"
        raise PydanticCustomError("task_name", expected)
    return name


TaskName = Annotated[str, AfterValidator(_fits)]
"""A task's name, after which the outputs of an exported model are named."""


class TaskConfig(Config):
    """One of several tasks that a model learns.

    Args:
        kind: A row of TASK_KINDS: `single_label`, `multi_label` (labels separated by `|`,
            such as `red|round`, possibly none) or `regression`.
        column: The column with the targets; None takes the task's name. Class folders
            and TensorFlow Datasets have the column `label`.
        weight: Weight of the task's loss in the sum of all losses, above 0. A regression
            loss is that of the standardized number: predicting the mean costs about 1.
        loss: A row of LOSSES that suits the kind; None takes the kind's default.
        label_smoothing: As `train.label_smoothing`, for classes and labels.
        focal_gamma: As `train.focal_gamma`.
        class_weights: As `train.class_weights`, for single labels.
        hidden: Units of each hidden layer of this task alone, on top of the layers of
            `[head]`, which all tasks share, and configured like them.
    """

    kind: str = "single_label"
    column: str | None = None
    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0
    loss: str | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    focal_gamma: Annotated[float, Field(ge=0, le=10)] = 2.0
    class_weights: Literal["none", "balanced"] = "none"
    hidden: tuple[Units, ...] = ()

    @field_validator("kind")
    @classmethod
    def _known(cls, name: str) -> str:
        return TASK_KINDS[name].name

    @model_validator(mode="after")
    def _settings_suit_the_kind(self) -> TaskConfig:
        if self.loss and LOSSES[self.loss].kind != self.kind:
            able = ", ".join(loss.name for loss in LOSSES.values() if loss.kind == self.kind)
            raise ValueError(
                f"the loss {self.loss} is for {LOSSES[self.loss].kind} tasks; expected one for "
                f"{self.kind}: {able}"
            )
        if self.label_smoothing and not TASK_KINDS[self.kind].has_classes:
            raise ValueError("label_smoothing is for classes and labels, not for regression")
        if self.class_weights != "none" and self.kind != "single_label":
            raise ValueError(
                f"class_weights need one class an image; a {self.kind} task has no such classes"
            )
        return self

    @property
    def chosen_loss(self) -> str:
        """The row of LOSSES the task is trained with."""
        return self.loss or default_loss(self.kind)

    def completed(self, name: str) -> TaskConfig:
        """Returns the section with column and loss filled in, for a task of that name."""
        column = self.column or name
        return self.model_copy(update={"column": column, "loss": self.chosen_loss})


def build_unbound_tasks(tasks: Mapping[str, TaskConfig]) -> tuple[Task, ...]:
    """Returns the tasks to read from data, without classes; no sections mean a classifier."""
    if not tasks:
        return (CLASSIFICATION,)
    return tuple(Task(name, config.kind, config.column or name) for name, config in tasks.items())


def check_combination(tasks: Mapping[str, TaskConfig], train: TrainConfig, *, monitor: str) -> None:
    """Checks that the rest of a recipe suits its named tasks.

    Args:
        tasks: At least one.
        train: The section `train`.
        monitor: `stopping.monitor`.

    Raises:
        RecipeError: A setting concerns recipes without named tasks only.
    """
    first = next(iter(tasks))
    for name, value, neutral in (
        ("loss", train.loss, "cross_entropy"),
        ("label_smoothing", train.label_smoothing, 0.0),
        ("class_weights", train.class_weights, "none"),
    ):
        if value != neutral:
            raise RecipeError(
                f"train.{name} concerns the one task of a recipe without [tasks]",
                expected=f"train.{name} = {neutral!r}",
                received=repr(value),
                mend=f"--set train.{name}={neutral} --set tasks.{first}.{name}={value}",
            )
    if train.oversample != "none" and not any(t.kind == "single_label" for t in tasks.values()):
        raise RecipeError(
            "train.oversample balances classes, and no task has any",
            expected="a task of the kind single_label",
            received=", ".join(f"{name}: {task.kind}" for name, task in tasks.items()),
            mend="--set train.oversample=none",
        )
    if monitor == "val_accuracy":
        raise RecipeError(
            "several tasks have no single accuracy to monitor",
            expected="stopping.monitor = 'val_loss', the weighted sum of their losses",
            received="'val_accuracy'",
            mend="--set stopping.monitor=val_loss",
        )
