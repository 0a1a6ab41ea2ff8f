"""OPTIMIZERS: the optimizers of Keras, and L-BFGS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tuning.optimization import proximal_steps
from tuning.optimization.update_rules import StepSize
from zoo.table import Table


@dataclass(frozen=True)
class Optimizer:
    """An optimizer.

    Args:
        name: The key in OPTIMIZERS.
        summary: When to use it.
        keras_class: The class of `keras.optimizers`; empty for `lbfgs`, which SciPy has.
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


DEFAULT_OPTIMIZER = "nesterov"
"""What heads train with that are not linear."""

# From gradient descent to its descendants. Keras' ε is 1e-7, where most papers have 1e-8; it is
# added to √s, and to s in AdaGrad, AdaDelta and RMSProp.
OPTIMIZERS: Table[Optimizer] = Table(
    "optimizer",
    [
        Optimizer(
            "lbfgs",
            "quasi-Newton steps to convergence, for linear heads on features; needs no rate",
            "",
            1.0,
            elementwise=False,
            paper="https://doi.org/10.1007/BF01589116",
        ),
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
        # Its learning rate is relative to the magnitude of the weights. With the paper's 1e-30 the
        # estimate of a weight whose row and column have no gradient, as between two units that
        # never fire, is 1e-60: that is 0 in float32, and the step 0/0.
        Optimizer(
            "adafactor",
            "Adam with far less memory: for the largest networks",
            "Adafactor",
            0.01,
            {"epsilon_1": 1e-16},
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
