"""Activations: the rows a head can choose from, and when each is worth it."""

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
        summary: When to use it.
        build: Maps a layer's name to the layer.
        own: Whether the layer is one of `zoo.layers`, which a saved classifier then
            needs to load; the others are Keras' alone.
        paper: Where it comes from.
    """

    name: str
    summary: str
    build: Callable[[str], Any]
    own: bool = False
    paper: str = ""


def _of_keras(function: str, name: str) -> Any:
    from keras import layers

    return layers.Activation(function, name=name)


def _leaky_relu(name: str) -> Any:
    from keras import layers

    # Keras' own slope is 0.3.
    return layers.LeakyReLU(negative_slope=0.01, name=name)


def _prelu(name: str) -> Any:
    from keras import layers

    # A slope for every channel; what is shared are the positions of a feature map, which a
    # head's vectors do not have. It starts where the paper does, not at Keras' 0.
    return layers.PReLU(alpha_initializer=_constant(0.25), name=name)


def _constant(value: float) -> Any:
    from keras import initializers

    return initializers.Constant(value)


def _rrelu(name: str) -> Any:
    from zoo.layers import RandomizedLeakyReLU

    return RandomizedLeakyReLU(name=name)


def _step(name: str) -> Any:
    from zoo.layers import StraightThroughStep

    return StraightThroughStep(name=name)


def _keras(name: str, summary: str, paper: str = "") -> Activation:
    return Activation(name, summary, partial(_of_keras, name), paper=paper)


# The order of the notes; then what came after them.
ACTIVATIONS: Table[Activation] = Table(
    "activation",
    [
        Activation(
            "step",
            "units that are on or off; trained straight through, for study",
            _step,
            own=True,
            paper="https://arxiv.org/abs/1308.3432",
        ),
        _keras("sigmoid", "a probability a unit; saturates, and slows what lies below it"),
        _keras("tanh", "like the sigmoid but centered, hence faster; saturates too"),
        _keras("relu", "quick to compute; a unit that gets only negative input dies"),
        Activation(
            "leaky_relu",
            "slope 0.01 below zero: no unit dies; faster than ELU where prediction must be quick",
            _leaky_relu,
            paper="https://ai.stanford.edu/~amaas/papers/relu_hybrid_icml2013_final.pdf",
        ),
        Activation(
            "rrelu",
            "slope drawn anew while training: for a head that overfits",
            _rrelu,
            own=True,
            paper="https://arxiv.org/abs/1505.00853",
        ),
        Activation(
            "prelu",
            "slope learned for every channel: for much data; overfits little",
            _prelu,
            paper="https://arxiv.org/abs/1502.01852",
        ),
        _keras(
            "elu",
            "the notes' default, most accurate of theirs; slower than the ReLUs",
            "https://arxiv.org/abs/1511.07289",
        ),
        _keras("softmax", "shares that sum to 1: for outputs, rarely between layers"),
        _keras(
            "selu",
            "keeps mean and variance through deep stacks, with lecun_normal and without batch norm",
            "https://arxiv.org/abs/1706.02515",
        ),
        _keras("gelu", "smooth ReLU of today's networks", "https://arxiv.org/abs/1606.08415"),
        _keras(
            "silu",
            "x · sigmoid(x), also called swish; as GELU, cheaper",
            "https://arxiv.org/abs/1710.05941",
        ),
        _keras("softplus", "a ReLU without the corner; seldom better"),
    ],
)
