"""Geometric augmentations about the center: flips, shift, rotation, shear and scaling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from pipelines.augment.base import (
    Augmentation,
    GeometryOperation,
    Parameters,
    Probability,
    SamplingContext,
)
from pipelines.augment.distributions import to_integer, to_log_uniform, to_symmetric
from pipelines.augment.matrices import stack_affine


class FlipLeftRight(GeometryOperation):
    """Flips the image horizontally."""

    name: Literal["flip_lr"] = "flip_lr"
    p: Probability = 0.5

    def build_matrix(self, parameters: Parameters) -> Any:
        """Builds the reflection, [1, 3, 3]."""
        return stack_affine([-1.0, 0.0, 0.0], [0.0, 1.0, 0.0])


class FlipUpDown(GeometryOperation):
    """Flips the image vertically."""

    name: Literal["flip_ud"] = "flip_ud"
    p: Probability = 0.5

    def build_matrix(self, parameters: Parameters) -> Any:
        """Builds the reflection, [1, 3, 3]."""
        return stack_affine([1.0, 0.0, 0.0], [0.0, -1.0, 0.0])


class Transpose(GeometryOperation):
    """Swaps rows and columns; with both flips it yields all eight symmetries of the square."""

    name: Literal["transpose"] = "transpose"
    p: Probability = 0.5

    def build_matrix(self, parameters: Parameters) -> Any:
        """Builds the transposition, [1, 3, 3]."""
        return stack_affine([0.0, 1.0, 0.0], [1.0, 0.0, 0.0])


class Shift(GeometryOperation):
    """Translates the content by whole pixels of the view, which loses no sharpness.

    Args:
        share: Largest shift along each side as a fraction of it, 0 to 0.5, rounded to
            whole pixels; every whole number of pixels is equally likely. 0.125 is four
            pixels of 32.
    """

    main_setting: ClassVar[str] = "share"
    num_uniforms: ClassVar[int] = 2
    name: Literal["shift"] = "shift"
    share: Annotated[float, Field(ge=0, le=0.5)] = 0.125

    def sample(self, uniforms: Sequence[Any], context: SamplingContext) -> Parameters:
        """Samples the shift to the right and down, as fractions of the side."""
        limit = round(self.share * context.size)
        dx, dy = (
            (to_integer(uniform, 2 * limit + 1) - limit) / context.size for uniform in uniforms
        )
        return {"dx": dx, "dy": dy}

    def build_matrix(self, parameters: Parameters) -> Any:
        """Builds the inverse translation."""
        return stack_affine([1.0, 0.0, -parameters["dx"]], [0.0, 1.0, -parameters["dy"]])


class Rotate(GeometryOperation):
    """Rotates the image about its center.

    Args:
        degrees: Largest angle in either direction, 0 to 180; angles are uniform.
    """

    main_setting: ClassVar[str] = "degrees"
    num_uniforms: ClassVar[int] = 1
    name: Literal["rotate"] = "rotate"
    degrees: Annotated[float, Field(ge=0, le=180)] = 15.0

    def sample(self, uniforms: Sequence[Any], context: SamplingContext) -> Parameters:
        """Samples the angle in degrees, positive counterclockwise."""
        return {"degrees": to_symmetric(uniforms[0], self.degrees)}

    def build_matrix(self, parameters: Parameters) -> Any:
        """Builds the inverse rotation."""
        import tensorflow as tf

        angle = parameters["degrees"] * (math.pi / 180)
        cos, sin = tf.cos(angle), tf.sin(angle)
        return stack_affine([cos, -sin, 0.0], [sin, cos, 0.0])


class Shear(GeometryOperation):
    """Shears the image along x or along y, each with probability 1/2.

    Args:
        degrees: Largest angle in either direction, 0 to 60; angles are uniform.
    """

    main_setting: ClassVar[str] = "degrees"
    num_uniforms: ClassVar[int] = 2
    name: Literal["shear"] = "shear"
    degrees: Annotated[float, Field(ge=0, le=60)] = 17.0

    def sample(self, uniforms: Sequence[Any], context: SamplingContext) -> Parameters:
        """Samples the angles along x and y in degrees; one of them is 0."""
        import tensorflow as tf

        angle, along_x = to_symmetric(uniforms[0], self.degrees), uniforms[1] < 0.5
        return {
            "x_degrees": tf.where(along_x, angle, 0.0),
            "y_degrees": tf.where(along_x, 0.0, angle),
        }

    def build_matrix(self, parameters: Parameters) -> Any:
        """Builds the shear about the center."""
        import tensorflow as tf

        x_slope, y_slope = (
            tf.tan(parameters[name] * (math.pi / 180)) for name in ("x_degrees", "y_degrees")
        )
        return stack_affine([1.0, x_slope, 0.0], [y_slope, 1.0, 0.0])


class Rescale(GeometryOperation):
    """Scales width and height about the center, each by its own factor.

    Args:
        ratio: Largest factor of each side, 1 to 4; factors are log-uniform from 1/ratio
            to ratio.
    """

    main_setting: ClassVar[str] = "ratio"
    num_uniforms: ClassVar[int] = 2
    name: Literal["rescale"] = "rescale"
    ratio: Annotated[float, Field(ge=1, le=4)] = 1.3333

    @property
    def smallest_view(self) -> float:
        """The smallest part of the input's width or height that the result shows, 0 to 1."""
        return 1.0 / self.ratio

    def sample(self, uniforms: Sequence[Any], context: SamplingContext) -> Parameters:
        """Samples the factors of the content's width and height."""
        x_factor, y_factor = (to_log_uniform(uniform, self.ratio) for uniform in uniforms)
        return {"x_factor": x_factor, "y_factor": y_factor}

    def build_matrix(self, parameters: Parameters) -> Any:
        """Builds the inverse scaling."""
        return stack_affine(
            [1.0 / parameters["x_factor"], 0.0, 0.0], [0.0, 1.0 / parameters["y_factor"], 0.0]
        )


class Zoom(GeometryOperation):
    """Scales the content about the center and keeps its aspect ratio.

    Args:
        ratio: Largest factor, 1 to 4; the factor is log-uniform from 1/ratio to ratio.
    """

    main_setting: ClassVar[str] = "ratio"
    num_uniforms: ClassVar[int] = 1
    name: Literal["zoom"] = "zoom"
    ratio: Annotated[float, Field(ge=1, le=4)] = 1.4142

    @property
    def smallest_view(self) -> float:
        """The smallest part of the input's width or height that the result shows, 0 to 1."""
        return 1.0 / self.ratio

    def sample(self, uniforms: Sequence[Any], context: SamplingContext) -> Parameters:
        """Samples the factor of both sides."""
        return {"factor": to_log_uniform(uniforms[0], self.ratio)}

    def build_matrix(self, parameters: Parameters) -> Any:
        """Builds the inverse scaling."""
        inverse = 1.0 / parameters["factor"]
        return stack_affine([inverse, 0.0, 0.0], [0.0, inverse, 0.0])


ROWS = (
    Augmentation(
        "flip_lr",
        "horizontal flip; not for digits, text or medical images",
        "geometry",
        FlipLeftRight,
        "Krizhevsky et al., 2012",
    ),
    Augmentation(
        "flip_ud",
        "vertical flip; for aerial and microscope images",
        "geometry",
        FlipUpDown,
        "Cohen and Welling, 2016, https://arxiv.org/abs/1602.07576",
    ),
    Augmentation(
        "transpose",
        "swaps rows and columns; with both flips, all symmetries of the square",
        "geometry",
        Transpose,
        "Cohen and Welling, 2016, https://arxiv.org/abs/1602.07576",
    ),
    Augmentation(
        "shift",
        "translation by whole pixels; standard for small images",
        "geometry",
        Shift,
        "He et al., 2016, section 4.2, https://arxiv.org/abs/1512.03385",
    ),
    Augmentation(
        "rotate",
        "rotation about the center; small angles or none for digits",
        "geometry",
        Rotate,
        "Simard et al., 2003, doi:10.1109/ICDAR.2003.1227801",
    ),
    Augmentation(
        "shear",
        "shear along x or y",
        "geometry",
        Shear,
        "Cubuk et al., 2019 (a slope of 0.3), https://arxiv.org/abs/1805.09501",
    ),
    Augmentation(
        "rescale",
        "scaling of width and height by separate factors",
        "geometry",
        Rescale,
        "Szegedy et al., 2015 (aspect ratios 3/4 to 4/3), https://arxiv.org/abs/1409.4842",
    ),
    Augmentation(
        "zoom",
        "scaling in and out with a fixed aspect ratio",
        "geometry",
        Zoom,
        "Simonyan and Zisserman, 2015 (a factor of 2 in all), https://arxiv.org/abs/1409.1556",
    ),
)
