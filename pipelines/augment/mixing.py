"""MixUp and CutMix: operations that mix images of a batch together with their labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from pipelines.augment.base import Augmentation, MixingOperation, Parameters, SamplingContext
from pipelines.augment.distributions import to_beta, to_integer

Alpha = Annotated[float, Field(gt=0, le=32)]


class MixUp(MixingOperation):
    """Blends each image and its label with its partner's.

    Args:
        alpha: Parameter of Beta(alpha, alpha), the distribution of the partner's
            fraction, above 0 to 32; larger blends more strongly.
    """

    main_setting: ClassVar[str] = "alpha"
    num_uniforms: ClassVar[int] = 1
    name: Literal["mixup"] = "mixup"
    alpha: Alpha = 0.2

    def sample(self, uniforms: Sequence[Any], context: SamplingContext) -> Parameters:
        """Samples the partner's fraction, 0 to 1."""
        return {"partner_fraction": to_beta(uniforms[0], self.alpha)}

    def build_arguments(self, parameters: Parameters) -> list[Any]:
        """Builds the partner's fraction and an empty rectangle."""
        import tensorflow as tf

        fraction = parameters["partner_fraction"]
        return [fraction, *[tf.zeros_like(fraction)] * 4]


class CutMix(MixingOperation):
    """Pastes a rectangle of the partner; labels are mixed in proportion to the areas.

    Args:
        alpha: Parameter of Beta(alpha, alpha), the distribution of the rectangle's
            fraction of the area before it is clipped at the border, above 0 to 32.
    """

    main_setting: ClassVar[str] = "alpha"
    num_uniforms: ClassVar[int] = 3
    name: Literal["cutmix"] = "cutmix"
    alpha: Alpha = 1.0

    def sample(self, uniforms: Sequence[Any], context: SamplingContext) -> Parameters:
        """Samples the rectangle, in whole pixels."""
        import tensorflow as tf

        size = float(context.size)
        side = tf.round(tf.sqrt(to_beta(uniforms[0], self.alpha)) * size)
        # A square centered on a random pixel of the view, clipped at the border.
        starts = [to_integer(u, size) - tf.floor(side / 2) for u in uniforms[1:]]
        ends = [tf.minimum(start + side, size) for start in starts]
        top, left = (tf.maximum(start, 0.0) for start in starts)
        return {"top": top, "left": left, "height": ends[0] - top, "width": ends[1] - left}

    def build_arguments(self, parameters: Parameters) -> list[Any]:
        """Builds a partner's fraction of 0 and the rectangle."""
        import tensorflow as tf

        return [tf.zeros_like(parameters["top"]), *parameters.values()]


def compute_partner_fraction(arguments: Any, size: int) -> Any:
    """Computes how much of each mixed image belongs to its partner.

    Args:
        arguments: float32 [B, 5], stacked from `MixingOperation.build_arguments`.
        size: Side S of the images, in pixels.

    Returns:
        float32 [B], 0 to 1.
    """
    return arguments[:, 0] + arguments[:, 3] * arguments[:, 4] / size**2


def mix_labels(labels: Any, weights: Any, partner_fraction: Any) -> tuple[Any, Any]:
    """Mixes labels so that the loss of a mixed image is the mixture of both losses.

    For a loss that is linear in the label, such as cross-entropy, weight times loss of
    the result equals the weighted loss of the image and that of its partner, mixed by
    `partner_fraction`.

    Args:
        labels: float32 [B, …].
        weights: float32 [B], sample weights of the loss, 0 or more.
        partner_fraction: float32 [B], from `compute_partner_fraction`.

    Returns:
        Labels float32 [B, …] and sample weights float32 [B] of the mixed images.
    """
    import tensorflow as tf

    own = (1.0 - partner_fraction) * weights
    partner = partner_fraction * tf.roll(weights, -1, axis=0)
    total = own + partner
    rank = len(labels.shape)
    expand = [slice(None)] + [None] * (rank - 1)
    # Where both weights are 0, the label is 0 too instead of NaN.
    own, partner = (tf.math.divide_no_nan(part, total)[expand] for part in (own, partner))
    return own * labels + partner * tf.roll(labels, -1, axis=0), total


ROWS = (
    Augmentation(
        "mixup",
        "blends two images and their labels; softens decision boundaries",
        "mixing",
        MixUp,
        "Zhang et al., 2018, https://arxiv.org/abs/1710.09412",
    ),
    Augmentation(
        "cutmix",
        "pastes a rectangle of another image; mixes labels by area",
        "mixing",
        CutMix,
        "Yun et al., 2019, https://arxiv.org/abs/1905.04899",
    ),
)
