"""Optimizers: the rows a recipe can choose from, all of them Keras' own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, field_validator

from zoo.config import Config
from zoo.table import Table


@dataclass(frozen=True)
class Optimizer:
    """One optimizer.

    Args:
        name: The key in OPTIMIZERS.
        summary: When to use it.
        keras_class: The class of `keras.optimizers`.
        learning_rate: The usual one for training a head.
        arguments: What else its constructor is given.
    """

    name: str
    summary: str
    keras_class: str
    learning_rate: float
    arguments: Mapping[str, Any] = field(default_factory=dict)


OPTIMIZERS: Table[Optimizer] = Table(
    "optimizer",
    [
        Optimizer("sgd", "plain mini-batch descent; slow and steady", "SGD", 0.01),
        Optimizer("momentum", "SGD that keeps going downhill", "SGD", 0.01, {"momentum": 0.9}),
        Optimizer(
            "nesterov",
            "momentum that looks ahead; the notes' default",
            "SGD",
            0.01,
            {"momentum": 0.9, "nesterov": True},
        ),
        Optimizer(
            "adagrad", "for sparse features; stops too early on deep networks", "Adagrad", 0.01
        ),
        Optimizer("rmsprop", "AdaGrad that forgets", "RMSprop", 0.001, {"rho": 0.9}),
        Optimizer("adam", "works nearly untuned", "Adam", 0.001),
        Optimizer("adamw", "Adam with decoupled weight decay", "AdamW", 0.001),
        Optimizer("nadam", "Adam that looks ahead", "Nadam", 0.001),
        Optimizer("adamax", "Adam by the largest gradient seen", "Adamax", 0.001),
        Optimizer("lion", "the sign of the momentum; small learning rates", "Lion", 0.0001),
    ],
)


class OptimizerConfig(Config):
    """Which optimizer trains, and how fast.

    Args:
        name: A row of OPTIMIZERS.
        learning_rate: Step size, above 0; left out, the optimizer's usual one.
    """

    name: str = "nesterov"
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = None

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        return OPTIMIZERS[name].name

    def completed(self) -> OptimizerConfig:
        """Returns the same with the learning rate written out."""
        rate = self.learning_rate or OPTIMIZERS[self.name].learning_rate
        return self.model_copy(update={"learning_rate": rate})


def build_optimizer(config: OptimizerConfig) -> Any:
    """Builds the `keras.optimizers.Optimizer` a recipe names."""
    import keras

    row = OPTIMIZERS[config.name]
    rate = config.completed().learning_rate
    return getattr(keras.optimizers, row.keras_class)(rate, **row.arguments)
