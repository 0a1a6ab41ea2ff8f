"""The one transform from an uploaded file to what a backbone sees.

Training's validation, prediction and the exported graph call these very
functions, so what is measured is what is served. There are two steps:

    file bytes ──decode──▶ uint8 RGB [H, W, 3] ──fit──▶ uint8 RGB [S, S, 3]

by `Preprocessing`, in the input pipeline and in the exported graph; and the
backbone's own normalisation, by `NORMALISATIONS`, as layers inside the model.
In between the image stays uint8: a quarter of the bytes to cache and move.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from zoo.config import Config
from zoo.table import Table

Fit = Literal["crop", "stretch", "pad"]


class Preprocessing(Config):
    """Decodes an image and fits it into a square of the network's size.

    Args:
        size: Height and width of the result, in pixels.
        fit: `crop` scales the shorter side to `size` and keeps the centre;
            `stretch` scales both sides and loses no border; `pad` scales the
            longer side and fills the rest with black.
        interpolation: The kernel; always with antialiasing when it shrinks.
    """

    size: int
    fit: Fit = "stretch"
    interpolation: Literal["bilinear", "bicubic", "lanczos3"] = "bilinear"

    def __call__(self, encoded: Any) -> Any:
        """Turns a file's bytes into what the network's first layer gets.

        Args:
            encoded: string [], the bytes of a JPEG, PNG, GIF or BMP.

        Returns:
            uint8 [S, S, 3].
        """
        return self.fit_image(decode(encoded))

    def fit_image(self, image: Any) -> Any:
        """Fits a decoded image into the square.

        Args:
            image: uint8 [H, W, 3], H and W any and known only when it runs.

        Returns:
            uint8 [S, S, 3], rounded to the nearest.
        """
        import tensorflow as tf

        height, width = tf.unstack(tf.cast(tf.shape(image)[:2], tf.float32))
        if self.fit == "stretch":
            target = tf.constant([self.size, self.size])
        else:
            side = tf.minimum(height, width) if self.fit == "crop" else tf.maximum(height, width)
            scaled = tf.round(tf.stack([height, width]) * (self.size / side))
            target = tf.maximum(tf.cast(scaled, tf.int32), 1)
        resized = tf.image.resize(image, target, self.interpolation, antialias=True)
        if self.fit != "stretch":
            resized = tf.image.resize_with_crop_or_pad(resized, self.size, self.size)
        resized.set_shape((self.size, self.size, 3))
        # Bicubic and Lanczos overshoot; saturate_cast truncates, hence the rounding.
        return tf.saturate_cast(tf.round(resized), tf.uint8)


def decode(encoded: Any) -> Any:
    """Decodes the bytes of one image, in the graph or eagerly.

    Args:
        encoded: string [], a JPEG, PNG, GIF (its first frame) or BMP.

    Returns:
        uint8 RGB [H, W, 3]. An EXIF orientation is not applied.

    Raises:
        tf.errors.InvalidArgumentError: The bytes are no such image.
    """
    import tensorflow as tf

    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    image.set_shape((None, None, 3))
    return image


@dataclass(frozen=True)
class Normalisation:
    """How a pixel in 0 to 255 becomes the number a backbone was trained on.

    Args:
        name: The key in NORMALISATIONS.
        summary: The formula in words.
        apply: Maps a float tensor [B, S, S, 3] in 0 to 255 to the normalised
            one, by Keras' own layers and operations alone, so that a saved
            model loads where this project is not installed.
    """

    name: str
    summary: str
    apply: Callable[[Any], Any]


def _none(pixels: Any) -> Any:
    return pixels


def _signed_unit(pixels: Any) -> Any:
    import keras

    return keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="signed_unit")(pixels)


def _imagenet(pixels: Any) -> Any:
    import keras

    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return keras.layers.Normalization(
        mean=[255 * m for m in mean], variance=[(255 * s) ** 2 for s in std], name="imagenet"
    )(pixels)


def _caffe(pixels: Any) -> Any:
    import keras

    bgr = keras.ops.flip(pixels, axis=-1)
    return keras.layers.Rescaling(
        1.0, offset=[-103.939, -116.779, -123.68], name="caffe"
    )(bgr)


def _cifar10(pixels: Any) -> Any:
    import keras

    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    return keras.layers.Normalization(
        mean=[255 * m for m in mean], variance=[(255 * s) ** 2 for s in std], name="cifar10"
    )(pixels)


NORMALISATIONS: Table[Normalisation] = Table(
    "normalisation",
    [
        Normalisation("none", "0 to 255 as they are; the backbone normalises", _none),
        Normalisation("signed_unit", "x / 127.5 − 1, into −1 to 1", _signed_unit),
        Normalisation("imagenet", "(x / 255 − μ) / σ with ImageNet's μ and σ, RGB", _imagenet),
        Normalisation("caffe", "BGR, ImageNet's means subtracted, not scaled", _caffe),
        Normalisation("cifar10", "(x / 255 − μ) / σ with CIFAR-10's μ and σ, RGB", _cifar10),
    ],
)
