"""Filters: blurs, noise and erasing, which depend on neighbors or differ from pixel to pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from pipelines.augment.base import (
    Augmentation,
    FilterOperation,
    Parameters,
    Probability,
    SamplingContext,
)
from pipelines.augment.distributions import to_integer, to_log_uniform, to_range

BILATERAL_DIAMETER = 5
"""Width in pixels of the neighborhood of a bilateral blur."""

FILL_VALUES = {"gray": 128, "black": 0}
"""Constant values of an erased rectangle, by the setting `fill`."""


class GaussianBlur(FilterOperation):
    """Blurs with a Gaussian kernel truncated at 3 σ.

    Args:
        sigma: Largest σ, in pixels of the view, 0 to 16; σ is uniform.
        min_sigma: Smallest σ; values above `sigma` count as `sigma`.
    """

    main_setting: ClassVar[str] = "sigma"
    num_uniforms: ClassVar[int] = 1
    name: Literal["gaussian_blur"] = "gaussian_blur"
    p: Probability = 0.5
    sigma: Annotated[float, Field(ge=0, le=16)] = 2.0
    min_sigma: Annotated[float, Field(ge=0, le=16)] = 0.1

    def sample(self, uniforms: Sequence[Any], context: SamplingContext) -> Parameters:
        """Samples σ."""
        return {"sigma": to_range(uniforms[0], min(self.min_sigma, self.sigma), self.sigma)}


class MedianBlur(FilterOperation):
    """Replaces each value by the median of its neighborhood: removes specks, keeps edges.

    Args:
        size: Largest width of the square neighborhood, 3 or 5 pixels; odd widths from 3
            up to it are equally likely.
    """

    main_setting: ClassVar[str] = "size"
    num_uniforms: ClassVar[int] = 1
    name: Literal["median_blur"] = "median_blur"
    p: Probability = 0.5
    size: Literal[3, 5] = 3

    def sample(self, uniforms: Sequence[Any], context: SamplingContext) -> Parameters:
        """Samples the radius of the neighborhood in pixels, 1 or 2."""
        return {"radius": 1.0 + to_integer(uniforms[0], self.size // 2)}


class BilateralBlur(FilterOperation):
    """Averages neighbors of similar color: smooths surfaces, keeps edges.

    A neighbor at distance d, at most two pixels, has the weight exp(−d²/2σ²) times the
    same function of the sum of its three absolute color differences.

    Args:
        color: Largest σ of color, as a fraction of full scale, 0 to 1; it is uniform
            from 0.
        space: σ of distance, in pixels of the view, above 0 to 16.
    """

    main_setting: ClassVar[str] = "color"
    num_uniforms: ClassVar[int] = 1
    name: Literal["bilateral_blur"] = "bilateral_blur"
    p: Probability = 0.5
    color: Annotated[float, Field(ge=0, le=1)] = 0.3
    space: Annotated[float, Field(gt=0, le=16)] = 2.0

    def sample(self, uniforms: Sequence[Any], context: SamplingContext) -> Parameters:
        """Samples the σ of color, as a fraction of full scale."""
        return {"color": uniforms[0] * self.color}

    def build_arguments(self, parameters: Parameters) -> list[Any]:
        """Builds the σ of color, in steps of 255."""
        return [255.0 * parameters["color"]]


class GaussianNoise(FilterOperation):
    """Adds independent normal noise to every channel of every pixel.

    Args:
        sigma: Largest σ, as a fraction of full scale, 0 to 1; σ is uniform.
        min_sigma: Smallest σ; values above `sigma` count as `sigma`.
    """

    main_setting: ClassVar[str] = "sigma"
    num_uniforms: ClassVar[int] = 3
    name: Literal["gaussian_noise"] = "gaussian_noise"
    sigma: Annotated[float, Field(ge=0, le=1)] = 0.05
    min_sigma: Annotated[float, Field(ge=0, le=1)] = 0.0

    def sample(self, uniforms: Sequence[Any], context: SamplingContext) -> Parameters:
        """Samples σ, the offset into the noise bank, and the sign."""
        import tensorflow as tf

        return {
            "sigma": to_range(uniforms[0], min(self.min_sigma, self.sigma), self.sigma),
            "noise_offset": _sample_noise_offset(uniforms[1], context),
            "noise_sign": tf.where(uniforms[2] < 0.5, -1.0, 1.0),
        }

    def build_arguments(self, parameters: Parameters) -> list[Any]:
        """Builds the signed scale per byte step of the noise bank, and the offset into it."""
        from pipelines.augment.noise_bank import STEPS_PER_SIGMA

        scale = parameters["noise_sign"] * parameters["sigma"] * (255.0 / STEPS_PER_SIGMA)
        return [scale, parameters["noise_offset"]]


class Erase(FilterOperation):
    """Covers a random rectangle, also known as random erasing or cutout.

    Args:
        area: Largest fraction of the view's area, 0 to 1; the fraction is uniform.
        min_area: Smallest fraction; values above `area` count as `area`.
        aspect: Largest ratio of the rectangle's sides, 1 to 10; height over width is
            log-uniform from 1/aspect to aspect.
        fill: Content of the rectangle: `noise` (normal, σ 32, about mid-gray), `gray` or
            `black`.
    """

    num_uniforms: ClassVar[int] = 5
    name: Literal["erase"] = "erase"
    p: Probability = 0.5
    area: Annotated[float, Field(ge=0, le=1)] = 0.4
    min_area: Annotated[float, Field(ge=0, le=1)] = 0.02
    aspect: Annotated[float, Field(ge=1, le=10)] = 3.3333
    fill: Literal["noise", "gray", "black"] = "noise"

    def sample(self, uniforms: Sequence[Any], context: SamplingContext) -> Parameters:
        """Samples the rectangle, in whole pixels of the view, and a noise bank offset."""
        import tensorflow as tf

        size = float(context.size)
        area = to_range(uniforms[0], min(self.min_area, self.area), self.area)
        stretch = tf.sqrt(to_log_uniform(uniforms[1], self.aspect))
        side = tf.sqrt(area) * size
        height = tf.minimum(tf.round(side * stretch), size)
        width = tf.minimum(tf.round(side / stretch), size)
        return {
            "top": to_integer(uniforms[2], size + 1.0 - height),
            "left": to_integer(uniforms[3], size + 1.0 - width),
            "height": height,
            "width": width,
            "noise_offset": _sample_noise_offset(uniforms[4], context),
        }


def _sample_noise_offset(uniform: Any, context: SamplingContext) -> Any:
    """Maps [0, 1) to an offset that leaves one image's worth of values in the noise bank."""
    from pipelines.augment.noise_bank import BANK_SIZE

    return to_integer(uniform, BANK_SIZE - 3 * context.size**2 + 1)


ROWS = (
    Augmentation(
        "gaussian_blur",
        "uniform blur; for images of varying focus",
        "filter",
        GaussianBlur,
        "Chen et al., 2020, appendix A, https://arxiv.org/abs/2002.05709",
    ),
    Augmentation(
        "median_blur",
        "removes specks and keeps edges",
        "filter",
        MedianBlur,
        "Tukey, 1977; sizes of Buslaev et al., 2020, https://arxiv.org/abs/1809.06839",
    ),
    Augmentation(
        "bilateral_blur",
        "smooths surfaces and keeps edges",
        "filter",
        BilateralBlur,
        "Tomasi and Manduchi, 1998, doi:10.1109/ICCV.1998.710815",
    ),
    Augmentation(
        "gaussian_noise",
        "adds normal noise; for noisy sensors",
        "filter",
        GaussianNoise,
        "Bishop, 1995, doi:10.1162/neco.1995.7.1.108",
    ),
    Augmentation(
        "erase",
        "covers a rectangle, so that no single part decides",
        "filter",
        Erase,
        "Zhong et al., 2020, https://arxiv.org/abs/1708.04896",
    ),
)
