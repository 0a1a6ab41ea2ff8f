"""Color: operations on each pixel's color alone, each as an affine map.

A pixel's red, green and blue, 0 to 255 and a 1 below them, are multiplied by a 4×4
matrix. Matrices of operations applied one after the other multiply in reverse order,
and only the result is rounded and clipped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from pipelines.augment.base import (
    Augmentation,
    Context,
    Operation,
    Probability,
    Values,
    symmetric,
)

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness; ITU-R BT.601, as JPEG and Pillow have them."""

_MID_GRAY = 127.5


class Color(Operation):
    """An operation on colors."""

    def affine(self, values: Values) -> Any:
        """Returns float32 [B, 4, 4] for pixels in 0 to 255.

        Args:
            values: As `draw` returned them.
        """
        raise NotImplementedError


class Brightness(Color):
    """Adds the same to every pixel.

    Args:
        delta: Most that is added or taken away, as a share of full scale, 0 to 1;
            what is drawn is uniform.
    """

    main: ClassVar[str] = "delta"
    num_draws: ClassVar[int] = 1
    name: Literal["brightness"] = "brightness"
    delta: Annotated[float, Field(ge=0, le=1)] = 0.125

    def draw(self, uniforms: Sequence[Any], context: Context) -> Values:
        """Draws what is added, as a share of full scale."""
        return {"delta": symmetric(uniforms[0], self.delta)}

    def affine(self, values: Values) -> Any:
        """Returns the addition."""
        offset = 255.0 * values["delta"]
        return _affine(_IDENTITY, [offset] * 3)


class Scaling(Color):
    """Scales colors about something gray.

    Args:
        amount: The factor is uniform from 1 − amount to 1 + amount; 0 to 1.
    """

    main: ClassVar[str] = "amount"
    num_draws: ClassVar[int] = 1
    amount: Annotated[float, Field(ge=0, le=1)] = 0.4

    def draw(self, uniforms: Sequence[Any], context: Context) -> Values:
        """Draws the factor."""
        return {"factor": 1.0 + symmetric(uniforms[0], self.amount)}


class Contrast(Scaling):
    """Moves every pixel away from mid-gray or towards it."""

    name: Literal["contrast"] = "contrast"

    def affine(self, values: Values) -> Any:
        """Returns the scaling about mid-gray."""
        return _blend(_ZERO, values["factor"], _MID_GRAY)


class Saturation(Scaling):
    """Moves every pixel away from the gray of its own brightness or towards it."""

    name: Literal["saturation"] = "saturation"

    def affine(self, values: Values) -> Any:
        """Returns the scaling about the gray of the same brightness."""
        return _blend([LUMA] * 3, values["factor"])


class Hue(Color):
    """Turns colors about the gray axis of YIQ, which keeps brightness.

    Args:
        degrees: Largest angle either way, 0 to 180; angles are uniform.
    """

    main: ClassVar[str] = "degrees"
    num_draws: ClassVar[int] = 1
    name: Literal["hue"] = "hue"
    degrees: Annotated[float, Field(ge=0, le=180)] = 18.0

    def draw(self, uniforms: Sequence[Any], context: Context) -> Values:
        """Draws the angle in degrees."""
        return {"degrees": symmetric(uniforms[0], self.degrees)}

    def affine(self, values: Values) -> Any:
        """Returns the rotation: to YIQ, a turn of I and Q, and back."""
        import numpy as np
        import tensorflow as tf

        to_yiq = np.array([LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])
        back = np.linalg.inv(to_yiq)
        # The rotation is constant + cos × cosine's part + sin × sine's part.
        constant, along, across = (
            back @ np.array(part, float) @ to_yiq
            for part in (
                [[1, 0, 0], [0, 0, 0], [0, 0, 0]],
                [[0, 0, 0], [0, 1, 0], [0, 0, 1]],
                [[0, 0, 0], [0, 0, -1], [0, 1, 0]],
            )
        )
        angle = values["degrees"] * (math.pi / 180)
        cos, sin = tf.cos(angle), tf.sin(angle)
        rows = [
            [constant[i, j] + along[i, j] * cos + across[i, j] * sin for j in range(3)]
            for i in range(3)
        ]
        return _affine(rows, [0.0] * 3)


class Grayscale(Color):
    """Replaces colors by the gray of the same brightness."""

    name: Literal["grayscale"] = "grayscale"
    p: Probability = 0.2

    def affine(self, values: Values) -> Any:
        """Returns the projection, [1, 4, 4]."""
        return _affine([LUMA] * 3, [0.0] * 3)


class PcaNoise(Color):
    """Adds noise along the principal components of the training images' colors.

    What is added to red, green and blue is Σ αᵢ λᵢ pᵢ, where pᵢ are the
    eigenvectors and λᵢ the eigenvalues of the covariance of the training split's
    pixels, and αᵢ ~ N(0, σ²) is drawn once an image: brightness and color of the
    light change as they do in those images.

    Args:
        sigma: σ, 0 to 10.
    """

    main: ClassVar[str] = "sigma"
    num_draws: ClassVar[int] = 4
    name: Literal["pca_noise"] = "pca_noise"
    sigma: Annotated[float, Field(ge=0, le=10)] = 0.1

    def draw(self, uniforms: Sequence[Any], context: Context) -> Values:
        """Draws what is added to red, green and blue, as shares of full scale."""
        import tensorflow as tf

        if context.axes is None:
            raise ValueError("pca_noise needs the training images' principal axes")
        # Box and Muller, 1958; 1 − u is above 0.
        radius = [tf.sqrt(-2.0 * tf.math.log1p(-u)) for u in uniforms[:2]]
        angle = [2.0 * math.pi * u for u in uniforms[2:]]
        normal = [
            radius[0] * tf.cos(angle[0]),
            radius[0] * tf.sin(angle[0]),
            radius[1] * tf.cos(angle[1]),
        ]
        alphas = self.sigma * tf.stack(normal, axis=1)
        added = tf.linalg.matvec(tf.constant(context.axes, tf.float32), alphas)
        return dict(zip(("red", "green", "blue"), tf.unstack(added, axis=1), strict=True))

    def affine(self, values: Values) -> Any:
        """Returns the addition."""
        return _affine(_IDENTITY, [255.0 * values[name] for name in ("red", "green", "blue")])


_IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_ZERO = ((0.0,) * 3,) * 3


def _blend(matrix: Sequence[Sequence[float]], factor: Any, constant: float = 0.0) -> Any:
    """Factor × color + (1 − factor) × (matrix × color + constant)."""
    rest = 1.0 - factor
    rows = [[_IDENTITY[i][j] * factor + matrix[i][j] * rest for j in range(3)] for i in range(3)]
    return _affine(rows, [constant * rest] * 3)


def _affine(rows: Sequence[Sequence[Any]], offsets: Sequence[Any]) -> Any:
    """Stacks numbers and tensors [B] to [B, 4, 4], or [1, 4, 4] without tensors."""
    import tensorflow as tf

    entries = [
        entry
        for row, offset in zip((*rows, (0.0,) * 3), (*offsets, 1.0), strict=True)
        for entry in (*row, offset)
    ]
    tensors = [entry for entry in entries if tf.is_tensor(entry)]
    shape = tf.shape(tensors[0]) if tensors else [1]
    stacked = [tf.broadcast_to(tf.cast(entry, tf.float32), shape) for entry in entries]
    return tf.reshape(tf.stack(stacked, axis=1), (-1, 4, 4))


ROWS = (
    Augmentation(
        "brightness",
        "adds the same to every pixel",
        "color",
        Brightness,
        "Howard, 2013 (32 of 255 in Inception's own code), https://arxiv.org/abs/1312.5402",
    ),
    Augmentation(
        "contrast",
        "scales about mid-gray",
        "color",
        Contrast,
        "Chen et al., 2020, appendix A, strength 0.5, https://arxiv.org/abs/2002.05709",
    ),
    Augmentation(
        "saturation",
        "scales about the gray of the same brightness",
        "color",
        Saturation,
        "Chen et al., 2020, appendix A, strength 0.5, https://arxiv.org/abs/2002.05709",
    ),
    Augmentation(
        "hue",
        "turns colors about the gray axis; not where color tells the class",
        "color",
        Hue,
        "Chen et al., 2020 (half of its 36 degrees), https://arxiv.org/abs/2002.05709",
    ),
    Augmentation(
        "grayscale",
        "takes color away; not where color tells the class",
        "color",
        Grayscale,
        "Chen et al., 2020, appendix A, https://arxiv.org/abs/2002.05709",
    ),
    Augmentation(
        "pca_noise",
        "adds noise along the principal components of the training images' colors",
        "color",
        PcaNoise,
        "Krizhevsky et al., 2012, section 4.1",
    ),
)
