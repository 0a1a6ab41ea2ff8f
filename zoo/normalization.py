"""Normalization: maps from pixels in 0 to 255 to the input of a backbone, inside the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from zoo.table import Table

Apply = Callable[[Any], Any]
Channels = tuple[float, float, float]


def _raise_unfitted(pixels: Any) -> Any:
    """Stands in for `apply` until a normalization is fitted."""
    raise ValueError("This normalization has to be fitted to the training images first.")


@dataclass(frozen=True)
class Normalization:
    """A map from pixels in 0 to 255 to the input of a backbone.

    Args:
        name: The key in NORMALIZATIONS.
        summary: The formula, and when to use it.
        apply: Maps float32 [B, S, S, 3] in 0 to 255 to the normalized tensor. Uses
            Keras' own layers and operations alone, so that a saved model loads without
            this project. Raises ValueError before a normalization with `fit` is fitted.
        fit: Maps the channel means and standard deviations of the training images, in
            0 to 1, to `apply`; None for fixed constants.
    """

    name: str
    summary: str
    apply: Apply = _raise_unfitted
    fit: Callable[[Channels, Channels], Apply] | None = None

    def fitted(self, mean: Channels, std: Channels) -> Normalization:
        """Returns this normalization with `apply` fitted to the training images.

        Args:
            mean: Mean of each channel, in 0 to 1.
            std: Standard deviation of each channel, in 0 to 1; 0 is replaced by 1.

        Raises:
            ValueError: The normalization has fixed constants.
        """
        if self.fit is None:
            raise ValueError(f"The normalization {self.name!r} is fixed.")
        red, green, blue = (s or 1.0 for s in std)
        return replace(self, apply=self.fit(mean, (red, green, blue)))


def _rescale(scale: float, offset: float | tuple[float, ...], name: str) -> Apply:
    def apply(pixels: Any) -> Any:
        import keras

        # float32 under any policy: float16 is too coarse for pixels minus a mean.
        return keras.layers.Rescaling(scale, offset, name=name, dtype="float32")(pixels)

    return apply


def _standardize(mean: tuple[float, ...], std: tuple[float, ...], name: str) -> Apply:
    def apply(pixels: Any) -> Any:
        import keras

        return keras.layers.Normalization(
            mean=[255 * m for m in mean],
            variance=[(255 * s) ** 2 for s in std],
            name=name,
            dtype="float32",
        )(pixels)

    return apply


def _caffe(pixels: Any) -> Any:
    import keras

    subtract = _rescale(1.0, (-103.939, -116.779, -123.68), "caffe")
    return subtract(keras.ops.flip(pixels, axis=-1))


NORMALIZATIONS: Table[Normalization] = Table(
    "normalization",
    [
        Normalization(
            "none",
            "pixels stay in 0 to 255; the backbone normalizes them itself",
            lambda pixels: pixels,
        ),
        Normalization(
            "center",
            "x / 255 - mean of the training images: for random weights",
            fit=lambda mean, std: _rescale(1 / 255, tuple(-m for m in mean), "center"),
        ),
        Normalization(
            "standardize",
            "(x / 255 - mean) / std of the training images: the usual choice for random weights",
            fit=lambda mean, std: _standardize(mean, std, "standardize"),
        ),
        Normalization(
            "signed_unit",
            "(x / 255 - 0.5) / 0.5, which lies in -1 to 1",
            _rescale(1 / 127.5, -1.0, "signed_unit"),
        ),
        Normalization(
            "offset_127",
            "(x - 127) / 128, as EfficientNet-Lite expects",
            _rescale(1 / 128, -127 / 128, "offset_127"),
        ),
        Normalization(
            "imagenet",
            "(x / 255 - mean) / std with the statistics of ImageNet",
            _standardize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "imagenet"),
        ),
        Normalization(
            "caffe",
            "BGR pixels in 0 to 255 minus the means of ImageNet, as Caffe models expect",
            _caffe,
        ),
        Normalization(
            "cifar10",
            "(x / 255 - mean) / std with the statistics of CIFAR-10",
            _standardize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), "cifar10"),
        ),
    ],
)
