"""Optimizers: the rows a recipe can choose from, all of them Keras' own."""

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
    """One optimizer.

    Args:
        name: The key in OPTIMIZERS.
        summary: When to use it.
        keras_class: The class of `keras.optimizers`.
        learning_rate: The usual one for training a head.
        arguments: What else its constructor is given.
        weight_decay: Its own decoupled weight decay.
        decay_arguments: Its constructor's arguments for a weight decay of all variables.
        step_size: Effective step size of a weight, to scale the proximal L1 step; see
            `tuning.optimization.proximal_steps`. None where there is none, and no L1.
        full_batch: Whether its gradient is that of the whole training set.
        elementwise: Whether a weight's step depends on no other weight, so that heads can
            be trained side by side in one variable.
        paper: Where it comes from.
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


# In the order of the notes, then what came after them. Keras adds ε to √s (and to s for
# AdaGrad, AdaDelta and RMSProp) as the notes do; its ε is 1e-7 throughout, the notes' 1e-8.
OPTIMIZERS: Table[Optimizer] = Table(
    "optimizer",
    [
        # SGD on the mean gradient of all batches: one step an epoch.
        Optimizer(
            "gradient_descent",
            "one step an epoch, along the gradient of the whole training set: exact and slow, for "
            "study",
            "SGD",
            0.1,
            step_size=proximal_steps.plain,
            full_batch=True,
        ),
        Optimizer(
            "sgd",
            "plain mini-batch descent, at input.batch_size = 1 online; slow and steady",
            "SGD",
            0.01,
            step_size=proximal_steps.plain,
        ),
        # θ ← θ + m, m ← βm − ηg: the notes' with the sign in m.
        Optimizer(
            "momentum",
            "SGD that keeps going downhill",
            "SGD",
            0.01,
            {"momentum": 0.9},
            step_size=proximal_steps.heavy_ball,
        ),
        # The notes take the gradient at the point ahead and keep θ; Keras keeps the point
        # ahead itself as the variable, which visits the same points.
        Optimizer(
            "nesterov",
            "momentum that looks ahead; the notes' default",
            "SGD",
            0.01,
            {"momentum": 0.9, "nesterov": True},
            step_size=proximal_steps.heavy_ball,
            paper="https://proceedings.mlr.press/v28/sutskever13.html",
        ),
        # Keras starts the sum of squares at 0.1, the notes at 0: the first steps are shorter.
        Optimizer(
            "adagrad",
            "for sparse features; stops too early on deep networks",
            "Adagrad",
            0.01,
            step_size=proximal_steps.adagrad,
            paper="https://jmlr.org/papers/v12/duchi11a.html",
        ),
        Optimizer(
            "adadelta",
            "AdaGrad that forgets and measures its own steps; wants a rate of about 1",
            "Adadelta",
            1.0,
            step_size=proximal_steps.adadelta,
            paper="https://arxiv.org/abs/1212.5701",
        ),
        Optimizer(
            "rmsprop",
            "AdaGrad that forgets",
            "RMSprop",
            0.001,
            {"rho": 0.9},
            step_size=proximal_steps.rmsprop,
            paper="https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf",
        ),
        # ε is added before √ŝ is corrected for its bias, so in effect it is ε/√(1 − β₂ᵗ).
        Optimizer(
            "adam",
            "works nearly untuned",
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
        # β₁ rises along Dozat's schedule, 0.9·(1 − 0.5·0.96ᵗ).
        Optimizer(
            "nadam",
            "Adam that looks ahead",
            "Nadam",
            0.001,
            step_size=proximal_steps.nadam,
            paper="https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ",
        ),
        Optimizer(
            "adamax",
            "Adam by the largest gradient seen; bears outliers",
            "Adamax",
            0.001,
            step_size=proximal_steps.adamax,
            paper="https://arxiv.org/abs/1412.6980",
        ),
        # Its rate counts in shares of the weights' own size.
        Optimizer(
            "adafactor",
            "Adam in far less memory: for the largest networks",
            "Adafactor",
            0.01,
            elementwise=False,
            paper="https://arxiv.org/abs/1804.04235",
        ),
        Optimizer(
            "lamb",
            "Adam scaled to each layer's weights: for very large batches",
            "Lamb",
            0.001,
            step_size=proximal_steps.lamb,
            elementwise=False,
            paper="https://arxiv.org/abs/1904.00962",
        ),
        # It rebuilds the weights from the sum of all gradients, which no step of ours enters.
        Optimizer(
            "ftrl",
            "AdaGrad for linear models on streams of sparse features",
            "Ftrl",
            0.05,
            paper="https://research.google/pubs/ad-click-prediction-a-view-from-the-trenches/",
        ),
        Optimizer(
            "lion",
            "the sign of the momentum: small learning rates, half of Adam's memory",
            "Lion",
            0.0001,
            paper="https://arxiv.org/abs/2302.06675",
        ),
        # Kernels by Muon, the rest by Adam. Its own decay of the rest is left to the rules.
        Optimizer(
            "muon",
            "momentum made orthogonal, for kernels of dense layers; few steps, each dearer",
            "Muon",
            0.001,
            decay_arguments=("weight_decay", "adam_weight_decay"),
            elementwise=False,
            paper="https://kellerjordan.github.io/posts/muon/",
        ),
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
        backbone_weight_decay: The same for what is trained of the backbone; left out,
            that of the head.
        ema: Momentum of a running average of the weights, 0 to below 1, which
            then is what is validated and kept (Polyak and Juditsky, 1992); 0 is none.
        clip: How gradients are clipped: a row of CLIPPINGS.
        clip_value: The bound that `clip` sets, above 0. Penalties come after it.
        accumulation_steps: Batches whose mean gradient makes one step, at least 1: a large batch
            where memory holds a small one.
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
                f"{self.name} accumulates a whole epoch already; expected "
                "accumulation_steps = 1, or name = 'sgd'"
            )
        if self.ema and (full_batch or self.accumulation_steps > 1):
            raise ValueError(
                "ema averages after every batch, and accumulate changes the weights at some only; "
                "expected ema = 0, or accumulation_steps = 1 and not gradient_descent"
            )
        return self

    def completed(self) -> OptimizerConfig:
        """Returns the same with the optimizer's own values written out."""
        row = OPTIMIZERS[self.name]
        decay = row.weight_decay if self.weight_decay is None else self.weight_decay
        below = decay if self.backbone_weight_decay is None else self.backbone_weight_decay
        return self.model_copy(
            update={
                "learning_rate": self.learning_rate or row.learning_rate,
                "weight_decay": decay,
                "backbone_weight_decay": below,
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
        learning_rate: A number or a Keras schedule; None takes the section's rate, or
            the usual one of the row.
        rule_of: How each variable is trained. None builds Keras' own class, whose weight
            decay falls on every variable: it is saved and loaded without this project.
        steps_per_epoch: Batches an epoch, which full-batch descent accumulates.
        **settings: Other settings of OptimizerConfig, such as `weight_decay`; only with a
            name.

    Raises:
        UnknownNameError: No such optimizer.

    Example:
        >>> build_optimizer("adamw", learning_rate=1e-3).weight_decay
        0.004
    """
    import keras

    config = optimizer
    if isinstance(config, str):
        config = OptimizerConfig.model_validate({"name": config, **settings})
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
    """Returns how each variable of a classifier is trained.

    Args:
        config: Whose weight decay and rates.
        penalty: On the kernels; None is none.
        depth_of: Maps a `keras.Variable` to 0 in the head, and in the backbone to its
            block, counted from 1 at the top.
        block_decay: The learning rate of each block over that of the one above it,
            above 0; so its weight decay too. 1 / 2.6 is that of Howard and Ruder,
            2018, https://arxiv.org/abs/1801.06146.
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
