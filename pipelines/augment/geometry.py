"""Geometry: operations that move pixels, each as a 3×3 matrix.

A view is the square −1/2 to 1/2 in x (to the right) and y (down). A matrix maps a
point of the result to the point of the input that is seen there, so the matrices
of operations applied one after the other multiply in their order, and one
resampling draws them all.
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
    integer,
    log_symmetric,
    symmetric,
)


class Geometry(Operation):
    """An operation that moves pixels."""

    def matrix(self, values: Values) -> Any:
        """Returns float32 [B, 3, 3], from points of the result to points of the input.

        Args:
            values: As `draw` returned them.
        """
        raise NotImplementedError


class FlipLeftRight(Geometry):
    """Mirrors left and right."""

    name: Literal["flip_lr"] = "flip_lr"
    p: Probability = 0.5

    def matrix(self, values: Values) -> Any:
        """Returns the mirroring, [1, 3, 3]."""
        return _matrix([-1.0, 0.0, 0.0], [0.0, 1.0, 0.0])


class FlipUpDown(Geometry):
    """Mirrors top and bottom."""

    name: Literal["flip_ud"] = "flip_ud"
    p: Probability = 0.5

    def matrix(self, values: Values) -> Any:
        """Returns the mirroring, [1, 3, 3]."""
        return _matrix([1.0, 0.0, 0.0], [0.0, -1.0, 0.0])


class Transpose(Geometry):
    """Swaps rows and columns; with both flips it gives all eight symmetries of the square."""

    name: Literal["transpose"] = "transpose"
    p: Probability = 0.5

    def matrix(self, values: Values) -> Any:
        """Returns the transposition, [1, 3, 3]."""
        return _matrix([0.0, 1.0, 0.0], [1.0, 0.0, 0.0])


class Shift(Geometry):
    """Moves the content by whole pixels of the result, which loses no sharpness.

    Args:
        share: Furthest it moves either way along each side, as a share of it, 0 to
            0.5, rounded to whole pixels; every whole number of pixels is as likely.
            0.125 is four pixels of 32.
    """

    main: ClassVar[str] = "share"
    num_draws: ClassVar[int] = 2
    name: Literal["shift"] = "shift"
    share: Annotated[float, Field(ge=0, le=0.5)] = 0.125

    def draw(self, uniforms: Sequence[Any], context: Context) -> Values:
        """Draws how far the content moves, as shares of the side."""
        most = round(self.share * context.size)
        across, down = (
            (integer(uniform, 2 * most + 1) - most) / context.size for uniform in uniforms
        )
        return {"across": across, "down": down}

    def matrix(self, values: Values) -> Any:
        """Returns the translation."""
        return _matrix([1.0, 0.0, -values["across"]], [0.0, 1.0, -values["down"]])


class Rotate(Geometry):
    """Turns the image about its center.

    Args:
        degrees: Largest angle either way, 0 to 180; angles are uniform.
    """

    main: ClassVar[str] = "degrees"
    num_draws: ClassVar[int] = 1
    name: Literal["rotate"] = "rotate"
    degrees: Annotated[float, Field(ge=0, le=180)] = 15.0

    def draw(self, uniforms: Sequence[Any], context: Context) -> Values:
        """Draws the angle in degrees, positive anticlockwise."""
        return {"degrees": symmetric(uniforms[0], self.degrees)}

    def matrix(self, values: Values) -> Any:
        """Returns the rotation by the opposite angle."""
        import tensorflow as tf

        angle = values["degrees"] * (math.pi / 180)
        cos, sin = tf.cos(angle), tf.sin(angle)
        return _matrix([cos, -sin, 0.0], [sin, cos, 0.0])


class Shear(Geometry):
    """Slants the image along one of its sides, drawn by a coin.

    Args:
        degrees: Largest angle either way, 0 to 60; angles are uniform.
    """

    main: ClassVar[str] = "degrees"
    num_draws: ClassVar[int] = 2
    name: Literal["shear"] = "shear"
    degrees: Annotated[float, Field(ge=0, le=60)] = 17.0

    def draw(self, uniforms: Sequence[Any], context: Context) -> Values:
        """Draws the angles along both sides in degrees; one of them is 0."""
        import tensorflow as tf

        angle, coin = symmetric(uniforms[0], self.degrees), uniforms[1] < 0.5
        return {
            "across": tf.where(coin, angle, 0.0),
            "down": tf.where(coin, 0.0, angle),
        }

    def matrix(self, values: Values) -> Any:
        """Returns the shear about the center."""
        import tensorflow as tf

        across, down = (tf.tan(values[side] * (math.pi / 180)) for side in ("across", "down"))
        return _matrix([1.0, across, 0.0], [down, 1.0, 0.0])


class Crop(Geometry):
    """Shows a part of the view, in other proportions.

    Args:
        area: Smallest share of the area that is kept, above 0; the share is uniform
            from it to 1. 0.08 is for large sets; with few images 0.6 is plenty.
        aspect: Largest ratio by which proportions change, 1 to 4. The ratio is
            log-uniform from 1/aspect to aspect, and then brought to what the share
            leaves room for: a crop that keeps the share s has a ratio from s to 1/s,
            so that one that keeps everything changes nothing.
    """

    main: ClassVar[str] = "area"
    num_draws: ClassVar[int] = 4
    name: Literal["crop"] = "crop"
    area: Annotated[float, Field(gt=0, le=1)] = 0.08
    aspect: Annotated[float, Field(ge=1, le=4)] = 1.3333

    def draw(self, uniforms: Sequence[Any], context: Context) -> Values:
        """Draws the part's sides and its corner, as shares of the view's sides."""
        import tensorflow as tf

        area, ratio, left, top = uniforms
        share = self.area + (1.0 - self.area) * area
        root = tf.sqrt(share)
        # No side may outgrow the whole, or the other could not keep the share.
        stretch = tf.clip_by_value(tf.sqrt(log_symmetric(ratio, self.aspect)), root, 1.0 / root)
        width, height = tf.minimum(root * stretch, 1.0), tf.minimum(root / stretch, 1.0)
        return {
            "width": width,
            "height": height,
            "left": (1.0 - width) * left,
            "top": (1.0 - height) * top,
        }

    def matrix(self, values: Values) -> Any:
        """Returns the map from the view to the part."""
        width, height = values["width"], values["height"]
        across = values["left"] + (width - 1.0) / 2
        down = values["top"] + (height - 1.0) / 2
        return _matrix([width, 0.0, across], [0.0, height, down])


class Rescale(Geometry):
    """Scales width and height about the center, each on its own.

    Args:
        ratio: Largest factor of each side, 1 to 4; it is log-uniform from 1/ratio to
            ratio.
    """

    main: ClassVar[str] = "ratio"
    num_draws: ClassVar[int] = 2
    name: Literal["rescale"] = "rescale"
    ratio: Annotated[float, Field(ge=1, le=4)] = 1.3333

    def draw(self, uniforms: Sequence[Any], context: Context) -> Values:
        """Draws the factors of the content's width and height."""
        across, down = (log_symmetric(uniform, self.ratio) for uniform in uniforms)
        return {"across": across, "down": down}

    def matrix(self, values: Values) -> Any:
        """Returns the inverse scaling."""
        return _matrix([1.0 / values["across"], 0.0, 0.0], [0.0, 1.0 / values["down"], 0.0])


class Zoom(Geometry):
    """Scales the content about the center, in proportion.

    Args:
        ratio: Largest factor, 1 to 4; it is log-uniform from 1/ratio to ratio.
    """

    main: ClassVar[str] = "ratio"
    num_draws: ClassVar[int] = 1
    name: Literal["zoom"] = "zoom"
    ratio: Annotated[float, Field(ge=1, le=4)] = 1.4142

    def draw(self, uniforms: Sequence[Any], context: Context) -> Values:
        """Draws the factor of both sides."""
        factor = log_symmetric(uniforms[0], self.ratio)
        return {"factor": factor}

    def matrix(self, values: Values) -> Any:
        """Returns the inverse scaling."""
        return _matrix([1.0 / values["factor"], 0.0, 0.0], [0.0, 1.0 / values["factor"], 0.0])


class Perspective(Geometry):
    """Moves each corner of what is seen inwards on its own, as if the camera moved.

    Args:
        share: Furthest a corner moves along each side, as a share of it, 0 to below
            0.5.
    """

    main: ClassVar[str] = "share"
    num_draws: ClassVar[int] = 8
    name: Literal["perspective"] = "perspective"
    share: Annotated[float, Field(ge=0, lt=0.5)] = 0.25

    def draw(self, uniforms: Sequence[Any], context: Context) -> Values:
        """Draws how far each corner, clockwise from top left, moves inwards in x and y."""
        names = [f"{side}{corner}" for corner in range(4) for side in "xy"]
        return {name: u * self.share for name, u in zip(names, uniforms, strict=True)}

    def matrix(self, values: Values) -> Any:
        """Returns the homography that takes the view's corners to the moved ones."""
        # Corners clockwise from top left; inwards is where the signs point.
        corners = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))
        x = [cx - math.copysign(1, cx) * values[f"x{i}"] for i, (cx, _) in enumerate(corners)]
        y = [cy - math.copysign(1, cy) * values[f"y{i}"] for i, (_, cy) in enumerate(corners)]
        # From the unit square to a quadrilateral; Heckbert, 1989, section 2.2.3.
        dx1, dx2, sx = x[1] - x[2], x[3] - x[2], x[0] - x[1] + x[2] - x[3]
        dy1, dy2, sy = y[1] - y[2], y[3] - y[2], y[0] - y[1] + y[2] - y[3]
        area = dx1 * dy2 - dx2 * dy1
        g, h = (sx * dy2 - dx2 * sy) / area, (dx1 * sy - sx * dy1) / area
        a, b, c = x[1] - x[0] + g * x[1], x[3] - x[0] + h * x[3], x[0]
        d, e, f = y[1] - y[0] + g * y[1], y[3] - y[0] + h * y[3], y[0]
        # The unit square's corner is the view's center less a half.
        w = (g + h) / 2 + 1.0
        return _matrix([a, b, (a + b) / 2 + c], [d, e, (d + e) / 2 + f], [g, h, w])


def _matrix(*rows: Sequence[Any]) -> Any:
    """Stacks rows of numbers and tensors [B] to [B, 3, 3], or [1, 3, 3] without tensors."""
    import tensorflow as tf

    rows = (*rows, [0.0, 0.0, 1.0])[:3]
    tensors = [entry for row in rows for entry in row if not isinstance(entry, float)]
    one = tf.ones_like(tensors[0]) if tensors else tf.ones([1])
    entries = [entry * one if isinstance(entry, float) else entry for row in rows for entry in row]
    return tf.reshape(tf.stack(entries, axis=1), (-1, 3, 3))


ROWS = (
    Augmentation(
        "flip_lr",
        "mirrors left and right; not for digits, text or medical images",
        "geometry",
        FlipLeftRight,
        "Krizhevsky et al., 2012",
    ),
    Augmentation(
        "flip_ud",
        "mirrors top and bottom; for views from above and microscopes",
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
        "moves by whole pixels; what small images need",
        "geometry",
        Shift,
        "He et al., 2016, section 4.2, https://arxiv.org/abs/1512.03385",
    ),
    Augmentation(
        "rotate",
        "turns about the center; little or not at all for digits",
        "geometry",
        Rotate,
        "Simard et al., 2003, doi:10.1109/ICDAR.2003.1227801",
    ),
    Augmentation(
        "shear",
        "slants along one side",
        "geometry",
        Shear,
        "Cubuk et al., 2019 (a slope of 0.3), https://arxiv.org/abs/1805.09501",
    ),
    Augmentation(
        "crop",
        "shows a part in other proportions; heavy crops raise false positives",
        "geometry",
        Crop,
        "Szegedy et al., 2015, section 6, https://arxiv.org/abs/1409.4842",
    ),
    Augmentation(
        "rescale",
        "scales width and height, each on its own",
        "geometry",
        Rescale,
        "Szegedy et al., 2015 (proportions 3/4 to 4/3), https://arxiv.org/abs/1409.4842",
    ),
    Augmentation(
        "zoom",
        "scales in proportion, in and out",
        "geometry",
        Zoom,
        "Simonyan and Zisserman, 2015 (a factor of 2 in all), https://arxiv.org/abs/1409.1556",
    ),
    Augmentation(
        "perspective",
        "moves each corner on its own, as if the camera moved",
        "geometry",
        Perspective,
        "DeTone et al., 2016, section 3, https://arxiv.org/abs/1606.03798",
    ),
)
