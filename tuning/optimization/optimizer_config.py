"""The section `optimizer` of a recipe, and what it builds: Keras' optimizer, per-variable rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from tuning.optimization.clipping import CLIPPINGS
from tuning.optimization.optimizers import DEFAULT_OPTIMIZER, OPTIMIZERS, Optimizer
from tuning.optimization.penalties import PenaltyConfig, is_kernel
from tuning.optimization.update_rules import RuleOf, UpdateRule, with_update_rules
from zoo.config import Config


class OptimizerConfig(Config):
    """The optimizer and its settings.

    Args:
        name: A row of OPTIMIZERS; left out, `lbfgs` for a linear head on features for which
            the recipe sets no rate, schedule or number of epochs, and `nesterov` otherwise.
        learning_rate: The learning rate, above 0 to 10; left out, the optimizer's default.
        weight_decay: Decoupled weight decay (Loshchilov and Hutter, 2019), 0 to below 1: the
            fraction of each weight to subtract per step, times the learning rate. Left out, the
            optimizer's default, which is 0 for all but AdamW.
        backbone_weight_decay: The same for the backbone's trained part; left out, that of the
            head.
        ema: Momentum of an exponential moving average of the weights, 0 to below 1, to validate
            and keep instead of the weights (Polyak and Juditsky, 1992); 0 disables it.
        clip: The kind of gradient clipping: a row of CLIPPINGS.
        clip_value: The bound of `clip`, above 0; applied before penalties.
        accumulation_steps: Batches whose mean gradient makes one step, 1 to 65536: a large batch
            where only a small one fits into memory.
    """

    name: str | None = None
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = None
    weight_decay: Annotated[float, Field(ge=0, lt=1)] | None = None
    backbone_weight_decay: Annotated[float, Field(ge=0, lt=1)] | None = None
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    clip: str = "none"
    clip_value: Annotated[float, Field(gt=0)] = 1.0
    accumulation_steps: Annotated[int, Field(ge=1, le=65536)] = 1

    @field_validator("name")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        return OPTIMIZERS[name].name if name else None

    @property
    def row(self) -> Optimizer:
        """The row of OPTIMIZERS, that of the default optimizer where none is named."""
        return OPTIMIZERS[self.name or DEFAULT_OPTIMIZER]

    @property
    def by_gradient_steps(self) -> OptimizerConfig:
        """This section, or the default optimizer's where Keras has no such optimizer."""
        return self if self.row.keras_class else OptimizerConfig(name=DEFAULT_OPTIMIZER).completed()

    @field_validator("clip")
    @classmethod
    def _known_clipping(cls, name: str) -> str:
        return CLIPPINGS[name].name

    @model_validator(mode="after")
    def _accumulates_once(self) -> OptimizerConfig:
        full_batch = self.row.full_batch
        if full_batch and self.accumulation_steps > 1:
            raise ValueError(
                f"{self.name} already accumulates a whole epoch; expected accumulation_steps = 1, "
                "or name = 'sgd'"
            )
        if self.ema and (full_batch or self.accumulation_steps > 1):
            raise ValueError(
                "ema averages after every batch, but accumulation changes the weights only after "
                "some; expected ema = 0, or accumulation_steps = 1 and not gradient_descent"
            )
        return self

    def completed(self) -> OptimizerConfig:
        """Returns a copy in which defaults of the optimizer are replaced by their values."""
        row = self.row
        decay = row.weight_decay if self.weight_decay is None else self.weight_decay
        backbone = decay if self.backbone_weight_decay is None else self.backbone_weight_decay
        return self.model_copy(
            update={
                "name": row.name,
                "learning_rate": self.learning_rate or row.learning_rate,
                "weight_decay": decay,
                "backbone_weight_decay": backbone,
            }
        )


def build_optimizer(
    optimizer: OptimizerConfig | str,
    learning_rate: Any = None,
    *,
    rule_of: RuleOf | None = None,
    steps_per_epoch: int = 1,
    **settings: Any,
) -> Any:
    """Builds a `keras.optimizers.Optimizer`.

    Args:
        optimizer: A row of OPTIMIZERS, or the section `optimizer` of a recipe.
        learning_rate: A number or a Keras schedule; None for the section's learning rate, or the
            row's default.
        rule_of: Maps each variable to its update rule. None builds Keras' own class, which decays
            every variable and can be saved and loaded without this project.
        steps_per_epoch: Batches per epoch, which full-batch gradient descent accumulates.
        **settings: Other settings of OptimizerConfig, such as `weight_decay`; only with a name.

    Raises:
        UnknownNameError: No optimizer has this name.
        ValueError: It is `lbfgs`, which Keras does not have.

    Example:
        >>> build_optimizer("adamw", learning_rate=1e-3).weight_decay
        0.004
    """
    import keras

    config = optimizer
    if isinstance(config, str):
        config = OptimizerConfig.from_arguments({"name": config, **settings})
    row, config = config.row, config.completed()
    if not row.keras_class:
        raise ValueError(f"{row.name} fits linear heads to convergence and is not in Keras")
    accumulation_steps = steps_per_epoch if row.full_batch else config.accumulation_steps
    clipping = CLIPPINGS[config.clip].argument
    arguments: dict[str, Any] = {
        "learning_rate": config.learning_rate if learning_rate is None else learning_rate,
        "use_ema": config.ema > 0,
        "ema_momentum": config.ema or 0.99,
        "gradient_accumulation_steps": accumulation_steps if accumulation_steps > 1 else None,
        **({clipping: config.clip_value} if clipping else {}),
        **row.arguments,
    }
    keras_class = getattr(keras.optimizers, row.keras_class)
    if rule_of is None:
        decay = dict.fromkeys(row.decay_arguments, config.weight_decay or None)
        return keras_class(**decay, **arguments)
    return with_update_rules(keras_class, rule_of, row.step_size)(**arguments)


def build_rules(
    config: OptimizerConfig,
    penalty: PenaltyConfig | None = None,
    *,
    depth_of: Callable[[Any], int] = lambda variable: 0,
    block_decay: float = 1.0,
) -> RuleOf:
    """Builds the function that maps each variable of a classifier to its update rule.

    Args:
        config: The optimizer's weight decay.
        penalty: The penalty on kernels; None for none.
        depth_of: Maps a `keras.Variable` to 0 in the head, and in the backbone to the number of
            its block, counted from 1 at the top.
        block_decay: Factor, above 0, on the learning rate and weight decay from each block to the
            one below: discriminative fine-tuning. Howard and Ruder, 2018,
            https://arxiv.org/abs/1801.06146, use 1 / 2.6.
    """
    config, penalty = config.completed(), (penalty or PenaltyConfig()).completed()

    def rule_of(variable: Any) -> UpdateRule:
        depth = depth_of(variable)
        factor = block_decay**depth
        decay = config.backbone_weight_decay if depth else config.weight_decay
        penalized = is_kernel(variable)
        return UpdateRule(
            rate=factor,
            weight_decay=factor * (decay or 0.0),
            l1=(penalty.backbone_l1 if depth else penalty.l1) if penalized else 0.0,
            l2=(penalty.backbone_l2 if depth else penalty.l2) if penalized else 0.0,
        )

    return rule_of
