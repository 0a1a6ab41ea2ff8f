"""Optimizers: the rows a recipe can choose from, all of them Keras' own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, field_validator

from tuning.rates import with_rates
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
        weight_decay: Its own decoupled weight decay.
    """

    name: str
    summary: str
    keras_class: str
    learning_rate: float
    arguments: Mapping[str, Any] = field(default_factory=dict)
    weight_decay: float = 0.0


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
        Optimizer("adamw", "Adam with decoupled weight decay", "AdamW", 0.001, weight_decay=0.004),
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
        weight_decay: Share of every weight taken away at each step, times the
            learning rate: decoupled (Loshchilov and Hutter, 2019). 0 is none; left
            out, the optimizer's own, which only AdamW has.
        ema: Momentum of a running average of the weights, 0 to below 1, which
            then is what is validated and kept (Polyak and Juditsky, 1992); 0 is none.
        beta_rate: Factor on the learning rate of batch normalisation's shifts β, above
            0. 64 lets a network that is trained from random weights for few epochs
            learn faster (Jordan, 2024, arXiv 2404.00498).
    """

    name: str = "nesterov"
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = None
    weight_decay: Annotated[float, Field(ge=0, lt=1)] | None = None
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    beta_rate: Annotated[float, Field(gt=0, le=1000)] = 1.0

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        return OPTIMIZERS[name].name

    def completed(self) -> OptimizerConfig:
        """Returns the same with the optimizer's own values written out."""
        row = OPTIMIZERS[self.name]
        decay = row.weight_decay if self.weight_decay is None else self.weight_decay
        rate = self.learning_rate or row.learning_rate
        return self.model_copy(update={"learning_rate": rate, "weight_decay": decay})


def build_optimizer(config: OptimizerConfig, learning_rate: Any = None) -> Any:
    """Builds the `keras.optimizers.Optimizer` a recipe names.

    Args:
        config: Which one.
        learning_rate: A Keras schedule to use instead of the config's constant rate.
    """
    import keras

    row, config = OPTIMIZERS[config.name], config.completed()
    optimizer_class = getattr(keras.optimizers, row.keras_class)
    if config.beta_rate != 1:
        optimizer_class = with_rates(
            optimizer_class, lambda variable: config.beta_rate if is_beta(variable) else 1.0
        )
    return optimizer_class(
        learning_rate=config.learning_rate if learning_rate is None else learning_rate,
        weight_decay=config.weight_decay or None,
        use_ema=config.ema > 0,
        ema_momentum=config.ema or 0.99,
        **row.arguments,
    )


def is_beta(variable: Any) -> bool:
    """Tells whether a `keras.Variable` is a shift of batch normalisation."""
    return variable.path.rpartition("/")[2] == "beta"
