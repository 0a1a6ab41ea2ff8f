"""Labels: operations on a whole batch, which blend images and their labels with them.

The partner of an image is the next one in its batch, which the shuffled stream has
drawn at random; the last one's is the first.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from pipelines.augment.base import Augmentation, Context, Operation, Values, integer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Alpha = Annotated[float, Field(gt=0, le=32)]


class Labels(Operation):
    """An operation that blends each image with its partner."""

    def parameters(self, values: Values) -> list[Any]:
        """Returns what a renderer needs, tensors float32 [B], all 0 for no change.

        Args:
            values: As `draw` returned them.

        Returns:
            The share of the partner in every pixel; top, left, height and width of
            the rectangle that is all partner, in pixels.
        """
        raise NotImplementedError


class MixUp(Labels):
    """Blends an image and its label with its partner's.

    Args:
        alpha: Of Beta(alpha, alpha), which the partner's share is drawn from, above 0
            to 32; larger blends more strongly.
    """

    main: ClassVar[str] = "alpha"
    num_draws: ClassVar[int] = 1
    name: Literal["mixup"] = "mixup"
    alpha: Alpha = 0.2

    def draw(self, uniforms: Sequence[Any], context: Context) -> Values:
        """Draws the partner's share."""
        return {"share": beta_quantile(uniforms[0], self.alpha)}

    def parameters(self, values: Values) -> list[Any]:
        """Returns the share and no rectangle."""
        import tensorflow as tf

        return [values["share"], *[tf.zeros_like(values["share"])] * 4]


class CutMix(Labels):
    """Covers a rectangle by the partner's pixels; the label follows the areas.

    Args:
        alpha: Of Beta(alpha, alpha), which the rectangle's share of the area is drawn
            from before what lies outside is cut off, above 0 to 32.
    """

    main: ClassVar[str] = "alpha"
    num_draws: ClassVar[int] = 3
    name: Literal["cutmix"] = "cutmix"
    alpha: Alpha = 1.0

    def draw(self, uniforms: Sequence[Any], context: Context) -> Values:
        """Draws the rectangle, in whole pixels."""
        import tensorflow as tf

        size = float(context.size)
        side = tf.round(tf.sqrt(beta_quantile(uniforms[0], self.alpha)) * size)
        # About a pixel of the view as its center, and cut off at the border.
        starts = [integer(u, size) - tf.floor(side / 2) for u in uniforms[1:]]
        ends = [tf.minimum(start + side, size) for start in starts]
        top, left = (tf.maximum(start, 0.0) for start in starts)
        return {"top": top, "left": left, "height": ends[0] - top, "width": ends[1] - left}

    def parameters(self, values: Values) -> list[Any]:
        """Returns no blending and the rectangle."""
        import tensorflow as tf

        return [tf.zeros_like(values["top"]), *values.values()]


def partner_share(parameters: Any, size: int) -> Any:
    """Returns how much of each image is its partner's, float32 [B], 0 to 1.

    Args:
        parameters: float32 [B, 5], as `Labels.parameters` gives them.
        size: S, the side of the images in pixels.
    """
    return parameters[:, 0] + parameters[:, 3] * parameters[:, 4] / size**2


def mix_labels(labels: Any, weights: Any, share: Any) -> tuple[Any, Any]:
    """Blends labels as their images were blended, so that the loss is the blend of both losses.

    Args:
        labels: float32 [B, …].
        weights: float32 [B], what each image counts in the loss, 0 or more.
        share: float32 [B], the partner's, as `partner_share` returns it.

    Returns:
        Labels and weights of the blended images. Of a loss that is linear in the
        label, as cross-entropy is, weight times loss is then that of the image and
        that of its partner, each with its own weight, blended.
    """
    import tensorflow as tf

    own, other = (1.0 - share) * weights, share * tf.roll(weights, -1, axis=0)
    total = own + other
    rank = len(labels.shape)
    expand = [slice(None)] + [None] * (rank - 1)
    # Where neither counts, the label does not either.
    own, other = (tf.math.divide_no_nan(part, total)[expand] for part in (own, other))
    return own * labels + other * tf.roll(labels, -1, axis=0), total


def beta_quantile(uniform: Any, alpha: float) -> Any:
    """Turns [0, 1) into Beta(alpha, alpha), by a table of its quantiles.

    Between the table's 4,097 entries it is linear, which shifts no quantile by more
    than 1/4096 of probability.
    """
    import tensorflow as tf

    table = tf.constant(_beta_table(alpha))
    place = uniform * (table.shape[0] - 1)
    below = tf.floor(place)
    index = tf.cast(below, tf.int32)
    low, high = tf.gather(table, index), tf.gather(table, index + 1)
    return low + (high - low) * (place - below)


@functools.cache
def _beta_table(alpha: float) -> npt.NDArray[np.float32]:
    import numpy as np
    from scipy.special import betaincinv

    return betaincinv(alpha, alpha, np.linspace(0, 1, 4097)).astype(np.float32)


ROWS = (
    Augmentation(
        "mixup",
        "blends two images and their labels; softens decision boundaries",
        "labels",
        MixUp,
        "Zhang et al., 2018, https://arxiv.org/abs/1710.09412",
    ),
    Augmentation(
        "cutmix",
        "covers a part by another image and shares the label by area",
        "labels",
        CutMix,
        "Yun et al., 2019, https://arxiv.org/abs/1905.04899",
    ),
)
