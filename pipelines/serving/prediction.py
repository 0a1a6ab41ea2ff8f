"""Predictions for an image, by task, as objects, text and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zoo.errors import DataError, InputError
from zoo.models.decision import PREDICTION_SET
from zoo.models.unknown import IS_UNKNOWN, UNKNOWN_SCORE

MAX_SHOWN = 10
"""Classes of a prediction set that text names, at most; JSON has all of them."""


@dataclass(frozen=True)
class TaskPrediction:
    """A model's prediction of one task for one image.

    Args:
        classes: The most probable classes or labels, most probable first.
        probabilities: Their probabilities, 0 to 1; those of labels are independent.
        value: The number, for a regression task.
        prediction_set: The classes that the image may be of, or the labels that it has by the
            model's thresholds, most probable first; perhaps none. None where the model has no
            rule for it.
        exclusive: Whether an image is of one of the classes; labels are independent.
    """

    classes: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    value: float | None = None
    prediction_set: tuple[str, ...] | None = None
    exclusive: bool = True

    @property
    def label(self) -> str:
        """The most probable class.

        Raises:
            InputError: The task is a regression.
        """
        self._check_classes()
        return self.classes[0]

    @property
    def probability(self) -> float:
        """The probability of the most probable class, 0 to 1.

        Raises:
            InputError: The task is a regression.
        """
        self._check_classes()
        return self.probabilities[0]

    def _check_classes(self) -> None:
        if not self.classes:
            raise InputError(
                "a number has no label and no probability",
                expected="a task of classes or labels",
                received=str(self),
                mend="read its value",
            )

    def to_json(self) -> dict[str, Any]:
        """Returns the classes and probabilities, or the value, as JSON values."""
        if self.value is not None:
            return {"value": self.value}
        values: dict[str, Any] = {"classes": self.classes, "probabilities": self.probabilities}
        return values | (
            {} if self.prediction_set is None else {PREDICTION_SET: self.prediction_set}
        )

    def __str__(self) -> str:
        if self.value is not None:
            return f"{self.value:.4g}"
        pairs = zip(self.classes, self.probabilities, strict=True)
        text = ", ".join(f"{name} {p:.4f}" for name, p in pairs)
        members = self.prediction_set
        # Of one class or of none, a set of classes says that there is no doubt between several.
        if members is None or (self.exclusive and len(members) < 2):
            return text
        more = len(members) - MAX_SHOWN
        shown = ", ".join(members[:MAX_SHOWN]) + (f" and {more} more" if more > 0 else "")
        return f"{text} ({'perhaps' if self.exclusive else 'labels:'} {shown or 'none'})"


@dataclass(frozen=True)
class Prediction:
    """A model's predictions for one image.

    Args:
        image: The image file.
        tasks: The predictions by task; empty if the file cannot be read.
        bare: Whether the model is a plain classifier; see `zoo.tasks.Task`.
        error: Why the file cannot be read; empty if it can.
        unknown_score: How far the image is from those of training, 0 or more: above 1 it counts
            as none of the classes. None where the model does not say.

    Example:
        >>> ant = TaskPrediction(("ant", "bee"), (0.9, 0.1))
        >>> prediction = Prediction("a.jpg", {"label": ant})
        >>> prediction.label, prediction.probability
        ('ant', 0.9)
        >>> str(prediction)
        'a.jpg: ant 0.9000, bee 0.1000'
    """

    image: str
    tasks: Mapping[str, TaskPrediction] = field(default_factory=dict)
    bare: bool = True
    error: str = ""
    unknown_score: float | None = None

    @property
    def is_unknown(self) -> bool | None:
        """Whether the image counts as none of the classes; None where the model does not say."""
        return None if self.unknown_score is None else self.unknown_score > 1

    @property
    def label(self) -> str:
        """The most probable class of a plain classifier.

        Raises:
            DataError: The file cannot be read.
            InputError: The model predicts several tasks.
        """
        return self._classification().label

    @property
    def probability(self) -> float:
        """The probability of `label`, 0 to 1.

        Raises:
            DataError: The file cannot be read.
            InputError: The model predicts several tasks.
        """
        return self._classification().probability

    @property
    def classes(self) -> tuple[str, ...]:
        """A plain classifier's most probable classes, most probable first; else empty."""
        return self._bare_prediction().classes

    @property
    def probabilities(self) -> tuple[float, ...]:
        """The probabilities of `classes`, 0 to 1."""
        return self._bare_prediction().probabilities

    @property
    def prediction_set(self) -> tuple[str, ...] | None:
        """The classes that the image may be of, by a plain classifier; None without a rule."""
        return self._bare_prediction().prediction_set

    def _classification(self) -> TaskPrediction:
        if self.error:
            raise DataError(f"{self.image} has no prediction: {self.error}")
        if not self.bare:
            raise InputError(
                f"the prediction for {self.image} has no label of its own",
                expected="one of its tasks",
                received=", ".join(self.tasks),
                mend=f"read prediction.tasks[{next(iter(self.tasks))!r}]",
            )
        return self._bare_prediction()

    def _bare_prediction(self) -> TaskPrediction:
        if self.error or not self.bare:
            return TaskPrediction()
        (prediction,) = self.tasks.values()
        return prediction

    def to_json(self) -> dict[str, Any]:
        """Returns JSON values: the classes of a plain classifier, else the tasks by name.

        `unknown_score` and `is_unknown` are there where the model says so.
        """
        if self.bare:
            values = self._bare_prediction().to_json()
        else:
            values = {"tasks": {name: task.to_json() for name, task in self.tasks.items()}}
        if self.unknown_score is not None:
            values |= {UNKNOWN_SCORE: self.unknown_score, IS_UNKNOWN: self.is_unknown}
        return {"image": self.image, **values, "error": self.error}

    def __str__(self) -> str:
        if self.bare:
            unknown = f"; unknown (score {self.unknown_score:.2f})" if self.is_unknown else ""
            return f"{self.image}: {self._bare_prediction()}{unknown}"
        parts = (f"{name} {prediction}" for name, prediction in self.tasks.items())
        return f"{self.image}: {'; '.join(parts)}"
