"""Random resized crop and random perspective: which part of the image a view shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from pipelines.augment.base import Augmentation, GeometryOperation, Parameters, SamplingContext
from pipelines.augment.distributions import to_log_uniform
from pipelines.augment.matrices import stack_affine, stack_matrix


class Crop(GeometryOperation):
    """Crops a random part of the view and resizes it to the full view.

    Args:
        area: Smallest fraction of the area that is kept, above 0 to 1; the fraction is
            uniform up to 1. 0.08 suits large data sets; with few images 0.6 is strong
            enough.
        aspect: Largest change of the aspect ratio, 1 to 4. The ratio is log-uniform
            from 1/aspect to aspect and then clipped to what the fraction s permits, s to
            1/s, so that a crop that keeps everything changes nothing.
    """

    main_setting: ClassVar[str] = "area"
    num_uniforms: ClassVar[int] = 4
    name: Literal["crop"] = "crop"
    area: Annotated[float, Field(gt=0, le=1)] = 0.08
    aspect: Annotated[float, Field(ge=1, le=4)] = 1.3333

    @property
    def smallest_view(self) -> float:
        """The smallest part of the input's width or height that the result shows, 0 to 1."""
        return math.sqrt(self.area) * max(math.sqrt(self.area), 1.0 / math.sqrt(self.aspect))

    def sample(self, uniforms: Sequence[Any], context: SamplingContext) -> Parameters:
        """Samples the crop's sides and top left corner, as fractions of the view's sides."""
        import tensorflow as tf

        u_area, u_ratio, u_left, u_top = uniforms
        area = self.area + (1.0 - self.area) * u_area
        side = tf.sqrt(area)
        # Neither side may exceed the view, or the crop could not keep its area.
        stretch = tf.sqrt(to_log_uniform(u_ratio, self.aspect))
        stretch = tf.clip_by_value(stretch, side, 1.0 / side)
        width, height = tf.minimum(side * stretch, 1.0), tf.minimum(side / stretch, 1.0)
        return {
            "width": width,
            "height": height,
            "left": (1.0 - width) * u_left,
            "top": (1.0 - height) * u_top,
        }

    def build_matrix(self, parameters: Parameters) -> Any:
        """Builds the map from the view to the crop."""
        width, height = parameters["width"], parameters["height"]
        center_x = parameters["left"] + (width - 1.0) / 2
        center_y = parameters["top"] + (height - 1.0) / 2
        return stack_affine([width, 0.0, center_x], [0.0, height, center_y])


class Perspective(GeometryOperation):
    """Distorts the perspective: each corner of the visible quadrilateral moves inwards.

    Args:
        share: Largest displacement of a corner along each side as a fraction of it, 0
            to below 0.5.
    """

    main_setting: ClassVar[str] = "share"
    num_uniforms: ClassVar[int] = 8
    name: Literal["perspective"] = "perspective"
    share: Annotated[float, Field(ge=0, lt=0.5)] = 0.25

    @property
    def smallest_view(self) -> float:
        """The smallest part of the input's width or height that the result shows, 0 to 1."""
        return 1.0 - 2.0 * self.share

    def sample(self, uniforms: Sequence[Any], context: SamplingContext) -> Parameters:
        """Samples each corner's inward displacement in x and y, clockwise from top left."""
        names = [f"{axis}{corner}" for corner in range(4) for axis in "xy"]
        return {name: u * self.share for name, u in zip(names, uniforms, strict=True)}

    def build_matrix(self, parameters: Parameters) -> Any:
        """Builds the homography from the view's corners to the displaced ones."""
        # Corners clockwise from top left; subtracting their signs points inwards.
        corners = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))
        x = [cx - math.copysign(1, cx) * parameters[f"x{i}"] for i, (cx, _) in enumerate(corners)]
        y = [cy - math.copysign(1, cy) * parameters[f"y{i}"] for i, (_, cy) in enumerate(corners)]
        # From the unit square to a quadrilateral; Heckbert, 1989, section 2.2.3.
        dx1, dx2, sx = x[1] - x[2], x[3] - x[2], x[0] - x[1] + x[2] - x[3]
        dy1, dy2, sy = y[1] - y[2], y[3] - y[2], y[0] - y[1] + y[2] - y[3]
        area = dx1 * dy2 - dx2 * dy1
        g, h = (sx * dy2 - dx2 * sy) / area, (dx1 * sy - sx * dy1) / area
        a, b, c = x[1] - x[0] + g * x[1], x[3] - x[0] + h * x[3], x[0]
        d, e, f = y[1] - y[0] + g * y[1], y[3] - y[0] + h * y[3], y[0]
        # The unit square's origin is the view's center minus one half.
        w = (g + h) / 2 + 1.0
        return stack_matrix([a, b, (a + b) / 2 + c], [d, e, (d + e) / 2 + f], [g, h, w])


ROWS = (
    Augmentation(
        "crop",
        "random resized crop; strong crops raise false positives",
        "geometry",
        Crop,
        "Szegedy et al., 2015, section 6, https://arxiv.org/abs/1409.4842",
    ),
    Augmentation(
        "perspective",
        "random homography, as if the camera moved",
        "geometry",
        Perspective,
        "DeTone et al., 2016, section 3, https://arxiv.org/abs/1606.03798",
    ),
)
