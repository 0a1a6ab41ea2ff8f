"""Gradient clipping: limits on the step that one batch can cause, all built into Keras.

Reference: Pascanu et al., 2013, https://arxiv.org/abs/1211.5063
"""

from __future__ import annotations

from dataclasses import dataclass

from zoo.table import Table


@dataclass(frozen=True)
class Clipping:
    """A way to clip gradients.

    Args:
        name: The key in CLIPPINGS.
        summary: What it does to a gradient, and when to use it.
        argument: The argument of Keras' optimizers for its bound; empty for none.
    """

    name: str
    summary: str
    argument: str = ""


CLIPPINGS: Table[Clipping] = Table(
    "clipping",
    [
        Clipping("none", "no clipping; with batch normalization it is seldom needed"),
        Clipping(
            "value",
            "each component to ±clip_value: simple, but changes the gradient's direction",
            "clipvalue",
        ),
        Clipping(
            "norm",
            "each variable's gradient to an L2 norm of clip_value; keeps its direction",
            "clipnorm",
        ),
        Clipping(
            "global_norm",
            "all gradients together to an L2 norm of clip_value; keeps the direction of the whole "
            "step: first choice",
            "global_clipnorm",
        ),
    ],
)
