"""Activations of a head's hidden layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from zoo.table import Table


@dataclass(frozen=True)
class Activation:
    """One activation.

    Args:
        name: The key in ACTIVATIONS.
        summary: One line on when to use it.
        build: Maps a layer's name to a new Keras layer.
        custom: Whether the layer is one of `zoo.layers`, which must be imported before a
            saved classifier loads; the other layers are Keras' own.
        paper: The paper's address, if there is one.
    """

    name: str
    summary: str
    build: Callable[[str], Any]
    custom: bool = False
    paper: str = ""


def _build_activation(function: str, name: str) -> Any:
    from keras import layers

    return layers.Activation(function, name=name)


def _leaky_relu(name: str) -> Any:
    from keras import layers

    # The slope of the paper; Keras defaults to 0.3.
    return layers.LeakyReLU(negative_slope=0.01, name=name)


def _prelu(name: str) -> Any:
    from keras import initializers, layers

    # One slope a unit. It starts at the paper's 0.25, where Keras starts at 0.
    return layers.PReLU(alpha_initializer=initializers.Constant(0.25), name=name)


def _rrelu(name: str) -> Any:
    from zoo.layers import RandomizedLeakyReLU

    return RandomizedLeakyReLU(name=name)


def _step(name: str) -> Any:
    from zoo.layers import StraightThroughStep

    return StraightThroughStep(name=name)


def _row(name: str, summary: str, paper: str = "") -> Activation:
    return Activation(name, summary, partial(_build_activation, name), paper=paper)


ACTIVATIONS: Table[Activation] = Table(
    "activation",
    [
        Activation(
            "step",
            "binary units, trained with the straight-through estimator; for study",
            _step,
            custom=True,
            paper="https://arxiv.org/abs/1308.3432",
        ),
        _row("sigmoid", "outputs in 0 to 1; saturates, which slows the layers below"),
        _row("tanh", "outputs in -1 to 1: zero-centered, so faster than sigmoid; saturates too"),
        _row("relu", "fast; a unit whose input is always negative stops learning"),
        Activation(
            "leaky_relu",
            "slope 0.01 below zero keeps every unit learning; faster than ELU",
            _leaky_relu,
            paper="https://ai.stanford.edu/~amaas/papers/relu_hybrid_icml2013_final.pdf",
        ),
        Activation(
            "rrelu",
            "random slope below zero in training: regularizes a head that overfits",
            _rrelu,
            custom=True,
            paper="https://arxiv.org/abs/1505.00853",
        ),
        Activation(
            "prelu",
            "learned slope below zero for each unit; for large data sets",
            _prelu,
            paper="https://arxiv.org/abs/1502.01852",
        ),
        _row(
            "elu",
            "the default: zero-centered, keeps every unit learning; slower than ReLU",
            "https://arxiv.org/abs/1511.07289",
        ),
        _row("softmax", "outputs sum to 1: meant for outputs, rarely useful between layers"),
        _row(
            "selu",
            "keeps mean and variance in deep heads; use lecun_normal and no batch norm",
            "https://arxiv.org/abs/1706.02515",
        ),
        _row(
            "gelu",
            "smooth ReLU, common in transformers and recent networks",
            "https://arxiv.org/abs/1606.08415",
        ),
        _row(
            "silu",
            "x · sigmoid(x), also called swish; like GELU, cheaper",
            "https://arxiv.org/abs/1710.05941",
        ),
        _row("softplus", "smooth ReLU, log(1 + eˣ); seldom better than ReLU"),
    ],
)
