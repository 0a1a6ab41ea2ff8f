"""Optimizers of Keras: a table of them, their settings, and per-variable update rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from tuning.optimization import proximal_steps
from tuning.optimization.clipping import CLIPPINGS
from tuning.optimization.penalties import PenaltyConfig, is_kernel
from tuning.optimization.update_rules import RuleOf, StepSize, UpdateRule, with_update_rules
from zoo.config import Config
from zoo.table import Table


@dataclass(frozen=True)
class Optimizer:
    """An optimizer.

    Args:
        name: The key in OPTIMIZERS.
        summary: When to use it.
        keras_class: The class of `keras.optimizers`.
        learning_rate: Its usual learning rate for training a head.
        arguments: Other arguments of the class.
        weight_decay: Its usual decoupled weight decay.
        decay_arguments: The class's arguments for a weight decay of all variables.
        step_size: Computes the effective step size of a weight, which scales the proximal L1
            step; see `tuning.optimization.proximal_steps`. None if L1 penalties do not apply.
        full_batch: Whether a step uses the gradient over the whole training set.
        elementwise: Whether the step of a weight depends on no other weight, so that heads can
            train side by side in one variable.
        paper: Its paper.
    """

    name: str
    summary: str
    keras_class: str
    learning_rate: float
    arguments: Mapping[str, Any] = field(default_factory=dict)
    weight_decay: float = 0.0
    decay_arguments: tuple[str, ...] = ("weight_decay",)
    step_size: StepSize | None = None
    full_batch: bool = False
    elementwise: bool = True
    paper: str = ""


# From gradient descent to its descendants. Keras' ε is 1e-7, where most papers have 1e-8; it is
# added to √s, and to s in AdaGrad, AdaDelta and RMSProp.
OPTIMIZERS: Table[Optimizer] = Table(
    "optimizer",
    [
        # SGD on the mean gradient of all batches.
        Optimizer(
            "gradient_descent",
            "one step an epoch with the gradient over the whole training set: slow, for study",
            "SGD",
            0.1,
            step_size=proximal_steps.plain,
            full_batch=True,
        ),
        Optimizer(
            "sgd",
            "mini-batch gradient descent; online learning with input.batch_size = 1",
            "SGD",
            0.01,
            step_size=proximal_steps.plain,
        ),
        # m ← βm − ηg, θ ← θ + m (Polyak, 1964).
        Optimizer(
            "momentum",
            "SGD with momentum: faster along directions of a constant gradient",
            "SGD",
            0.01,
            {"momentum": 0.9},
            step_size=proximal_steps.heavy_ball,
        ),
        # The paper stores θ and takes the gradient at the look-ahead point; Keras stores the
        # look-ahead point, which visits the same points.
        Optimizer(
            "nesterov",
            "momentum with the gradient of the look-ahead point; the default",
            "SGD",
            0.01,
            {"momentum": 0.9, "nesterov": True},
            step_size=proximal_steps.heavy_ball,
            paper="https://proceedings.mlr.press/v28/sutskever13.html",
        ),
        # Keras starts the sum of squares at 0.1, the paper at 0: the first steps are shorter.
        Optimizer(
            "adagrad",
            "for sparse features; its step sizes vanish too early on deep networks",
            "Adagrad",
            0.01,
            step_size=proximal_steps.adagrad,
            paper="https://jmlr.org/papers/v12/duchi11a.html",
        ),
        Optimizer(
            "adadelta",
            "AdaGrad with decaying sums and steps in units of the weights; learning rate about 1",
            "Adadelta",
            1.0,
            step_size=proximal_steps.adadelta,
            paper="https://arxiv.org/abs/1212.5701",
        ),
        Optimizer(
            "rmsprop",
            "AdaGrad with a decaying average instead of the sum",
            "RMSprop",
            0.001,
            {"rho": 0.9},
            step_size=proximal_steps.rmsprop,
            paper="https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf",
        ),
        # Keras adds ε before it corrects √s for bias, so the effective ε is ε/√(1 − β₂ᵗ).
        Optimizer(
            "adam",
            "needs little tuning",
            "Adam",
            0.001,
            step_size=proximal_steps.adam,
            paper="https://arxiv.org/abs/1412.6980",
        ),
        Optimizer(
            "adamw",
            "Adam with decoupled weight decay; first choice for whole networks",
            "Adam",
            0.001,
            weight_decay=0.004,
            step_size=proximal_steps.adam,
            paper="https://arxiv.org/abs/1711.05101",
        ),
        # β₁ follows Dozat's schedule, 0.9·(1 − 0.5·0.96ᵗ).
        Optimizer(
            "nadam",
            "Adam with Nesterov momentum",
            "Nadam",
            0.001,
            step_size=proximal_steps.nadam,
            paper="https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ",
        ),
        Optimizer(
            "adamax",
            "Adam with the decayed maximum of gradients; robust to outliers",
            "Adamax",
            0.001,
            step_size=proximal_steps.adamax,
            paper="https://arxiv.org/abs/1412.6980",
        ),
        # Its learning rate is relative to the magnitude of the weights.
        Optimizer(
            "adafactor",
            "Adam with far less memory: for the largest networks",
            "Adafactor",
            0.01,
            elementwise=False,
            paper="https://arxiv.org/abs/1804.04235",
        ),
        Optimizer(
            "lamb",
            "Adam scaled by the norm of each layer's weights: for very large batches",
            "Lamb",
            0.001,
            step_size=proximal_steps.lamb,
            elementwise=False,
            paper="https://arxiv.org/abs/1904.00962",
        ),
        # FTRL recomputes weights from the sum of gradients: a proximal step would be lost.
        Optimizer(
            "ftrl",
            "for linear models on streams of sparse features",
            "Ftrl",
            0.05,
            paper="https://research.google/pubs/ad-click-prediction-a-view-from-the-trenches/",
        ),
        Optimizer(
            "lion",
            "steps along the sign of the momentum: a small learning rate, half of Adam's memory",
            "Lion",
            0.0001,
            paper="https://arxiv.org/abs/2302.06675",
        ),
        # Muon updates kernels, Adam the other variables.
        Optimizer(
            "muon",
            "orthogonalized momentum for kernels of dense layers: fewer, more expensive steps",
            "Muon",
            0.001,
            decay_arguments=("weight_decay", "adam_weight_decay"),
            elementwise=False,
            paper="https://kellerjordan.github.io/posts/muon/",
        ),
    ],
)


class OptimizerConfig(Config):
    """The optimizer and its settings.

    Args:
        name: A row of OPTIMIZERS.
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

    name: str = "nesterov"
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = None
    weight_decay: Annotated[float, Field(ge=0, lt=1)] | None = None
    backbone_weight_decay: Annotated[float, Field(ge=0, lt=1)] | None = None
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    clip: str = "none"
    clip_value: Annotated[float, Field(gt=0)] = 1.0
    accumulation_steps: Annotated[int, Field(ge=1, le=65536)] = 1

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        return OPTIMIZERS[name].name

    @field_validator("clip")
    @classmethod
    def _known_clipping(cls, name: str) -> str:
        return CLIPPINGS[name].name

    @model_validator(mode="after")
    def _accumulates_once(self) -> OptimizerConfig:
        full_batch = OPTIMIZERS[self.name].full_batch
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
        row = OPTIMIZERS[self.name]
        decay = row.weight_decay if self.weight_decay is None else self.weight_decay
        backbone = decay if self.backbone_weight_decay is None else self.backbone_weight_decay
        return self.model_copy(
            update={
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

    Example:
        >>> build_optimizer("adamw", learning_rate=1e-3).weight_decay
        0.004
    """
    import keras

    config = optimizer
    if isinstance(config, str):
        config = OptimizerConfig.from_arguments({"name": config, **settings})
    row, config = OPTIMIZERS[config.name], config.completed()
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
