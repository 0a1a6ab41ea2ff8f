"""Clipping: how far one batch may push, all of it Keras' own.

Reference: Pascanu et al., 2013, https://arxiv.org/abs/1211.5063
"""

from __future__ import annotations

from dataclasses import dataclass

from zoo.table import Table


@dataclass(frozen=True)
class Clipping:
    """One way to clip gradients.

    Args:
        name: The key in CLIPPINGS.
        summary: What it does to a gradient, and when to use it.
        argument: The argument of Keras' optimizers that asks for it; empty for none.
    """

    name: str
    summary: str
    argument: str = ""


CLIPPINGS: Table[Clipping] = Table(
    "clipping",
    [
        Clipping("none", "gradients as they are; batch normalization makes clipping seldom needed"),
        Clipping(
            "value", "each component to ±clip_value: simple, but turns the gradient", "clipvalue"
        ),
        Clipping(
            "norm",
            "each variable's gradient to the length clip_value; keeps its direction",
            "clipnorm",
        ),
        Clipping(
            "global_norm",
            "all gradients together to the length clip_value; the step keeps its direction: first "
            "choice",
            "global_clipnorm",
        ),
    ],
)
