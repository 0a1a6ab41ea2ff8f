"""Color augmentations: brightness, contrast, saturation, hue, grayscale and PCA noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from pipelines.augment.base import (
    Augmentation,
    ColorOperation,
    Parameters,
    Probability,
    SamplingContext,
)
from pipelines.augment.distributions import to_symmetric
from pipelines.augment.matrices import stack_affine

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma; ITU-R BT.601, as in JPEG and Pillow."""

_MID_GRAY = 127.5


class Brightness(ColorOperation):
    """Adds one number to every channel of every pixel.

    Args:
        delta: Largest change in either direction, as a fraction of full scale, 0 to 1;
            the change is uniform.
    """

    main_setting: ClassVar[str] = "delta"
    num_uniforms: ClassVar[int] = 1
    name: Literal["brightness"] = "brightness"
    delta: Annotated[float, Field(ge=0, le=1)] = 0.125

    def sample(self, uniforms: Sequence[Any], context: SamplingContext) -> Parameters:
        """Samples the change, as a fraction of full scale."""
        return {"delta": to_symmetric(uniforms[0], self.delta)}

    def build_color_matrix(self, parameters: Parameters) -> Any:
        """Builds the addition."""
        return _translation([255.0 * parameters["delta"]] * 3)


class ColorScaling(ColorOperation):
    """Scales colors about a gray; base class of contrast and saturation.

    Args:
        amount: Largest deviation of the factor from 1, 0 to 1; the factor is uniform
            from 1 − amount to 1 + amount.
    """

    main_setting: ClassVar[str] = "amount"
    num_uniforms: ClassVar[int] = 1
    amount: Annotated[float, Field(ge=0, le=1)] = 0.4

    def sample(self, uniforms: Sequence[Any], context: SamplingContext) -> Parameters:
        """Samples the factor."""
        return {"factor": 1.0 + to_symmetric(uniforms[0], self.amount)}


class Contrast(ColorScaling):
    """Scales every pixel's distance from mid-gray."""

    name: Literal["contrast"] = "contrast"

    def build_color_matrix(self, parameters: Parameters) -> Any:
        """Builds the scaling about mid-gray."""
        return _interpolation(_ZERO, parameters["factor"], _MID_GRAY)


class Saturation(ColorScaling):
    """Scales every pixel's distance from the gray of the same luma."""

    name: Literal["saturation"] = "saturation"

    def build_color_matrix(self, parameters: Parameters) -> Any:
        """Builds the scaling about the gray of the same luma."""
        return _interpolation([LUMA] * 3, parameters["factor"])


class Hue(ColorOperation):
    """Rotates colors about the gray axis in YIQ space, which preserves luma.

    Args:
        degrees: Largest angle in either direction, 0 to 180; angles are uniform.
    """

    main_setting: ClassVar[str] = "degrees"
    num_uniforms: ClassVar[int] = 1
    name: Literal["hue"] = "hue"
    degrees: Annotated[float, Field(ge=0, le=180)] = 18.0

    def sample(self, uniforms: Sequence[Any], context: SamplingContext) -> Parameters:
        """Samples the angle in degrees."""
        return {"degrees": to_symmetric(uniforms[0], self.degrees)}

    def build_color_matrix(self, parameters: Parameters) -> Any:
        """Builds the conversion to YIQ, the rotation of I and Q, and the conversion back."""
        import numpy as np
        import tensorflow as tf

        to_yiq = np.array([LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])
        to_rgb = np.linalg.inv(to_yiq)
        # The matrix is constant + cos(angle) × cos_part + sin(angle) × sin_part.
        constant, cos_part, sin_part = (
            to_rgb @ np.array(part, float) @ to_yiq
            for part in (
                [[1, 0, 0], [0, 0, 0], [0, 0, 0]],
                [[0, 0, 0], [0, 1, 0], [0, 0, 1]],
                [[0, 0, 0], [0, 0, -1], [0, 1, 0]],
            )
        )
        angle = parameters["degrees"] * (math.pi / 180)
        cos, sin = tf.cos(angle), tf.sin(angle)
        rows = [
            [constant[i, j] + cos_part[i, j] * cos + sin_part[i, j] * sin for j in range(3)]
            for i in range(3)
        ]
        return stack_affine(*([*row, 0.0] for row in rows))


class Grayscale(ColorOperation):
    """Replaces every color by the gray of the same luma."""

    name: Literal["grayscale"] = "grayscale"
    p: Probability = 0.2

    def build_color_matrix(self, parameters: Parameters) -> Any:
        """Builds the projection, [1, 4, 4]."""
        return stack_affine(*[[*LUMA, 0.0]] * 3)


class PcaNoise(ColorOperation):
    """Adds noise along the principal components of the training images' colors.

    Adds Σ αᵢ λᵢ pᵢ to (red, green, blue), with eigenvectors pᵢ and eigenvalues λᵢ of the
    covariance of the training split's pixels, and αᵢ ~ N(0, σ²) sampled once per image.
    This imitates changes in the intensity and color of the illumination.

    Args:
        sigma: σ of the coefficients, 0 to 10.
    """

    main_setting: ClassVar[str] = "sigma"
    num_uniforms: ClassVar[int] = 4
    name: Literal["pca_noise"] = "pca_noise"
    sigma: Annotated[float, Field(ge=0, le=10)] = 0.1

    def sample(self, uniforms: Sequence[Any], context: SamplingContext) -> Parameters:
        """Samples the changes of red, green and blue, as fractions of full scale.

        Raises:
            ValueError: `context` holds no principal components.
        """
        import tensorflow as tf

        if context.color_axes is None:
            raise ValueError("pca_noise needs the principal components of the training images")
        # Box and Muller, 1958; 1 − u is above 0.
        radius = [tf.sqrt(-2.0 * tf.math.log1p(-u)) for u in uniforms[:2]]
        angle = [2.0 * math.pi * u for u in uniforms[2:]]
        normal = [
            radius[0] * tf.cos(angle[0]),
            radius[0] * tf.sin(angle[0]),
            radius[1] * tf.cos(angle[1]),
        ]
        alphas = self.sigma * tf.stack(normal, axis=1)  # [B, 3]
        change = tf.linalg.matvec(tf.constant(context.color_axes, tf.float32), alphas)
        return dict(zip(("red", "green", "blue"), tf.unstack(change, axis=1), strict=True))

    def build_color_matrix(self, parameters: Parameters) -> Any:
        """Builds the addition."""
        return _translation([255.0 * parameters[name] for name in ("red", "green", "blue")])


_IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_ZERO = ((0.0,) * 3,) * 3


def _translation(offsets: Sequence[Any]) -> Any:
    """Builds the map that adds three offsets to red, green and blue, [B, 4, 4]."""
    return stack_affine(*([*row, offset] for row, offset in zip(_IDENTITY, offsets, strict=True)))


def _interpolation(gray: Sequence[Sequence[float]], factor: Any, level: float = 0.0) -> Any:
    """Builds factor × color + (1 − factor) × (gray × color + level), [B, 4, 4]."""
    rest = 1.0 - factor
    return stack_affine(
        *(
            [*(_IDENTITY[i][j] * factor + gray[i][j] * rest for j in range(3)), level * rest]
            for i in range(3)
        )
    )


ROWS = (
    Augmentation(
        "brightness",
        "adds one number to every pixel",
        "color",
        Brightness,
        "Howard, 2013 (32 of 255 in Inception's own code), https://arxiv.org/abs/1312.5402",
    ),
    Augmentation(
        "contrast",
        "scales colors about mid-gray",
        "color",
        Contrast,
        "Chen et al., 2020, appendix A, strength 0.5, https://arxiv.org/abs/2002.05709",
    ),
    Augmentation(
        "saturation",
        "scales colors about the gray of the same luma",
        "color",
        Saturation,
        "Chen et al., 2020, appendix A, strength 0.5, https://arxiv.org/abs/2002.05709",
    ),
    Augmentation(
        "hue",
        "rotates colors about the gray axis; not where color tells the class",
        "color",
        Hue,
        "Chen et al., 2020 (half of its 36 degrees), https://arxiv.org/abs/2002.05709",
    ),
    Augmentation(
        "grayscale",
        "removes color; not where color tells the class",
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
