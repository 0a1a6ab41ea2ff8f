"""The section `teacher` of a recipe: a finished run whose answers a smaller network learns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipelines.recipe.sections import TrainConfig
from zoo.config import Config
from zoo.errors import RecipeError

DEFAULT_TEMPERATURE = 2.0
"""Where a head is trained by gradient steps and the recipe gives no temperature."""


class TeacherConfig(Config):
    """A finished run whose probabilities are learned beside the labels (distillation).

    A large network's probabilities say more of an image than its label does, and they can be had
    for images that nobody has labeled (Hinton, Vinyals and Dean, 2015,
    https://arxiv.org/abs/1503.02531). Of an image with a label the loss is (1 - weight) · CE(label,
    student) + weight · T² · KL(teacher at T ‖ student at T), of one without a label the second term
    alone, with weight 1. Validation and test images keep their labels.

    Args:
        run: The folder of the finished run, with the same classes; recorded with its absolute
            path. Empty learns from labels alone.
        weight: The teacher's share of the loss of an image with a label, above 0.
        temperature: T, by which the logits of both are divided, 1 or more: the higher, the more
            the teacher says of the classes that it thinks unlikely. `auto` is 1 for a linear head
            that is fitted to convergence, and 2 for gradient steps.
        unlabeled: More images to learn from the teacher alone, as DATA, sorted or not; labels
            are not read, and images that the data set has are left out. Empty takes none.
    """

    run: str = ""
    weight: Annotated[float, Field(gt=0, le=1)] = 0.9
    temperature: Annotated[float, Field(ge=1, le=100)] | Literal["auto"] = "auto"
    unlabeled: str = ""

    @model_validator(mode="after")
    def _is_there_for_unlabeled_images(self) -> TeacherConfig:
        if self.unlabeled and not self.run:
            raise ValueError("unlabeled images are learned from a teacher alone; expected run too")
        return self


class ResolvedTeacher(TeacherConfig):
    """The section `teacher`, its temperature decided."""

    temperature: Annotated[float, Field(ge=1, le=100)] = 1.0


def check_teacher(teacher: TeacherConfig, train: TrainConfig, tasks: Iterable[str]) -> None:
    """Checks that a teacher's answers are probabilities of the classes that are learned.

    Args:
        teacher: The section `teacher`.
        train: The section `train`.
        tasks: Names of the recipe's tasks; none of a plain classifier.

    Raises:
        RecipeError: There are several tasks, or the loss or the folds have no place for them.
    """
    if not teacher.run:
        return
    problem = None
    if named := ", ".join(tasks):
        problem = "tasks", named, "leave --teacher out"
    elif train.loss != "cross_entropy":
        problem = "train.loss", repr(train.loss), "--set train.loss=cross_entropy"
    elif teacher.unlabeled and train.folds not in (0, "auto"):
        problem = "train.folds", str(train.folds), "--set train.folds=0"
    if problem:
        path, value, mend = problem
        raise RecipeError(
            "a teacher's probabilities are learned by cross-entropy, and with unlabeled images "
            "without folds",
            expected="one task of classes, train.loss = 'cross_entropy', train.folds = 0",
            received=f"{path} = {value}",
            mend=mend,
        )
