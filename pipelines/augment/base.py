"""Operation: one way in which images vary; what every row of AUGMENTATIONS is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from zoo.config import Config

Probability = Annotated[float, Field(ge=0, le=1)]
Stage = Literal["geometry", "color", "pixels", "labels", "group"]
Values = dict[str, Any]
"""What was drawn for a batch: a tensor float32 [B] for each name."""


@dataclass(frozen=True)
class Context:
    """What a draw needs to know beside its own settings.

    Args:
        size: S, the side of the view in pixels.
        axes: float32 [3, 3]: in column i, the i-th principal component of the
            training images' colors times its variance, of pixels in 0 to 1; see
            `principal.py`.
    """

    size: int
    axes: Any = None


class Operation(Config):
    """One way in which images vary, with its settings.

    It draws from uniform numbers alone, so that a view is a function of its key.
    Subclasses say what their values do: `Geometry.matrix`, `Color.affine`,
    `Pixels.parameters`.

    Args:
        name: The key in AUGMENTATIONS.
        p: Probability that an image is changed at all, 0 to 1.
    """

    main: ClassVar[str] = "p"
    """The setting that the shorthand gives without its name."""
    num_draws: ClassVar[int] = 0
    """How many uniform numbers `draw` takes."""

    name: str
    p: Probability = 1.0

    def draw(self, uniforms: Sequence[Any], context: Context) -> Values:
        """Turns uniform numbers into this operation's values.

        Args:
            uniforms: `num_draws` tensors float32 [B], each value from 0 to below 1.
            context: Size of the view, colors of the training images.

        Returns:
            Tensors float32 [B] by name, in the units of the settings; none where an
            image is changed or not and there is nothing more to draw.
        """
        return {}


@dataclass(frozen=True)
class Augmentation:
    """A row of AUGMENTATIONS.

    Args:
        name: The key; also the name in the shorthand.
        summary: What it does, in one line.
        stage: When it is rendered: geometry, then color, then pixels; labels at last,
            for whole batches. A group chooses among others.
        operation: Its settings and their formulas; the defaults are from `reference`.
        reference: Where the operation or its defaults come from.
    """

    name: str
    summary: str
    stage: Stage
    operation: type[Operation]
    reference: str


def symmetric(uniform: Any, limit: float) -> Any:
    """Stretches [0, 1) to [−limit, limit)."""
    return (2.0 * uniform - 1.0) * limit


def between(uniform: Any, low: float, high: float) -> Any:
    """Stretches [0, 1) to [low, high).

    Args:
        uniform: A tensor.
        low: Where 0 comes to lie.
        high: Where 1 would.
    """
    return low + (high - low) * uniform


def log_symmetric(uniform: Any, ratio: float) -> Any:
    """Stretches [0, 1) to [1/ratio, ratio), evenly in the logarithm."""
    import math

    import tensorflow as tf

    return tf.exp(symmetric(uniform, math.log(ratio)))


def integer(uniform: Any, count: Any) -> Any:
    """Turns [0, 1) into 0, 1, …, count − 1, each as likely, as float32."""
    import tensorflow as tf

    # The product may round up to `count` itself.
    return tf.minimum(tf.floor(uniform * count), count - 1.0)
