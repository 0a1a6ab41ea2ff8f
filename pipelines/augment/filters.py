"""Pixels: operations that look at neighbors or differ from pixel to pixel.

Each turns what it drew into a few numbers an image, all of them 0 where the image is
left as it is; the renderers hold the kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from pipelines.augment.base import (
    Augmentation,
    Context,
    Operation,
    Probability,
    Values,
    between,
    integer,
    log_symmetric,
)

BILATERAL_WIDTH = 5
"""Of the square that holds a bilateral blur's neighbors, in pixels."""

FILLS = {"gray": 128, "black": 0}
"""What an erased rectangle is filled with, where it is not noise."""


class Pixels(Operation):
    """An operation on pixels and their neighborhoods."""

    def parameters(self, values: Values) -> list[Any]:
        """Returns what a renderer needs, tensors float32 [B], all 0 for no change.

        Args:
            values: As `draw` returned them.
        """
        return list(values.values())


class GaussianBlur(Pixels):
    """Blurs by a normal distribution, cut off at 3 σ.

    Args:
        sigma: Largest σ, in pixels of the result, 0 to 16; σ is uniform.
        min_sigma: Smallest σ; at most `sigma` all the same.
    """

    main: ClassVar[str] = "sigma"
    num_draws: ClassVar[int] = 1
    name: Literal["gaussian_blur"] = "gaussian_blur"
    p: Probability = 0.5
    sigma: Annotated[float, Field(ge=0, le=16)] = 2.0
    min_sigma: Annotated[float, Field(ge=0, le=16)] = 0.1

    def draw(self, uniforms: Sequence[Any], context: Context) -> Values:
        """Draws σ."""
        return {"sigma": between(uniforms[0], min(self.min_sigma, self.sigma), self.sigma)}


class MedianBlur(Pixels):
    """Replaces each value by the median around it: removes specks, keeps edges.

    Args:
        size: Largest width of the square around a pixel, 3 or 5; odd widths from 3 are
            as likely.
    """

    main: ClassVar[str] = "size"
    num_draws: ClassVar[int] = 1
    name: Literal["median_blur"] = "median_blur"
    p: Probability = 0.5
    size: Literal[3, 5] = 3

    def draw(self, uniforms: Sequence[Any], context: Context) -> Values:
        """Draws how far the square reaches from its pixel: 1 or 2."""
        return {"reach": 1.0 + integer(uniforms[0], self.size // 2)}


class BilateralBlur(Pixels):
    """Averages neighbors of like color: smooths surfaces, keeps edges.

    A neighbor within two pixels weighs exp(−d²/2σ²) for its distance d in pixels,
    times the same for the sum of its three differences in color.

    Args:
        color: Largest σ of color, as a share of full scale, 0 to 1; it is uniform
            from 0.
        space: σ of distance, in pixels of the result, above 0 to 16.
    """

    main: ClassVar[str] = "color"
    num_draws: ClassVar[int] = 1
    name: Literal["bilateral_blur"] = "bilateral_blur"
    p: Probability = 0.5
    color: Annotated[float, Field(ge=0, le=1)] = 0.3
    space: Annotated[float, Field(gt=0, le=16)] = 2.0

    def draw(self, uniforms: Sequence[Any], context: Context) -> Values:
        """Draws the σ of color."""
        return {"color": uniforms[0] * self.color}

    def parameters(self, values: Values) -> list[Any]:
        """Returns the σ of color in steps of 255."""
        return [255.0 * values["color"]]


class GaussianNoise(Pixels):
    """Adds independent normal noise to every value of every pixel.

    Args:
        sigma: Largest σ, as a share of full scale, 0 to 1; σ is uniform.
        min_sigma: Smallest σ; at most `sigma` all the same.
    """

    main: ClassVar[str] = "sigma"
    num_draws: ClassVar[int] = 3
    name: Literal["gaussian_noise"] = "gaussian_noise"
    sigma: Annotated[float, Field(ge=0, le=1)] = 0.05
    min_sigma: Annotated[float, Field(ge=0, le=1)] = 0.0

    def draw(self, uniforms: Sequence[Any], context: Context) -> Values:
        """Draws σ, the place in the noise bank, and the sign."""
        import tensorflow as tf

        return {
            "sigma": between(uniforms[0], min(self.min_sigma, self.sigma), self.sigma),
            "place": _place(uniforms[1], context),
            "sign": tf.where(uniforms[2] < 0.5, -1.0, 1.0),
        }

    def parameters(self, values: Values) -> list[Any]:
        """Returns what a step of the bank's bytes is worth, and the place."""
        from pipelines.augment.noise_bank import STEPS

        return [values["sign"] * values["sigma"] * (255.0 / STEPS), values["place"]]


class Erase(Pixels):
    """Covers a rectangle.

    Args:
        area: Largest share of the view's area, 0 to 1; the share is uniform.
        min_area: Smallest share; at most `area` all the same.
        aspect: The rectangle's height over its width is log-uniform from 1/aspect to
            aspect, 1 to 10.
        fill: With what: `noise` (normal, of σ 32 about mid-gray), `gray` or `black`.
    """

    num_draws: ClassVar[int] = 5
    name: Literal["erase"] = "erase"
    p: Probability = 0.5
    area: Annotated[float, Field(ge=0, le=1)] = 0.4
    min_area: Annotated[float, Field(ge=0, le=1)] = 0.02
    aspect: Annotated[float, Field(ge=1, le=10)] = 3.3333
    fill: Literal["noise", "gray", "black"] = "noise"

    def draw(self, uniforms: Sequence[Any], context: Context) -> Values:
        """Draws the rectangle, in whole pixels of the result, and a place in the noise bank."""
        import tensorflow as tf

        size = float(context.size)
        share = between(uniforms[0], min(self.min_area, self.area), self.area)
        stretch = tf.sqrt(log_symmetric(uniforms[1], self.aspect))
        side = tf.sqrt(share) * size
        height = tf.minimum(tf.round(side * stretch), size)
        width = tf.minimum(tf.round(side / stretch), size)
        return {
            "top": integer(uniforms[2], size + 1.0 - height),
            "left": integer(uniforms[3], size + 1.0 - width),
            "height": height,
            "width": width,
            "place": _place(uniforms[4], context),
        }


def _place(uniform: Any, context: Context) -> Any:
    """A place in the noise bank from which an image's worth of numbers is left."""
    from pipelines.augment.noise_bank import BANK_SIZE

    return integer(uniform, BANK_SIZE - 3 * context.size**2 + 1)


ROWS = (
    Augmentation(
        "gaussian_blur",
        "blurs evenly; where focus varies",
        "pixels",
        GaussianBlur,
        "Chen et al., 2020, appendix A, https://arxiv.org/abs/2002.05709",
    ),
    Augmentation(
        "median_blur",
        "removes specks and keeps edges",
        "pixels",
        MedianBlur,
        "Tukey, 1977; sizes of Buslaev et al., 2020, https://arxiv.org/abs/1809.06839",
    ),
    Augmentation(
        "bilateral_blur",
        "smooths surfaces and keeps edges",
        "pixels",
        BilateralBlur,
        "Tomasi and Manduchi, 1998, doi:10.1109/ICCV.1998.710815",
    ),
    Augmentation(
        "gaussian_noise",
        "adds normal noise; where the sensor is noisy",
        "pixels",
        GaussianNoise,
        "Bishop, 1995, doi:10.1162/neco.1995.7.1.108",
    ),
    Augmentation(
        "erase",
        "covers a rectangle; against relying on one part",
        "pixels",
        Erase,
        "Zhong et al., 2020, https://arxiv.org/abs/1708.04896",
    ),
)
