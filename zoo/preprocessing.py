"""Preprocessing: decoding, resizing and normalization, the same in training and serving.

Training's validation, prediction and the exported graph share these functions, so a
served model computes what was evaluated. There are two steps:

    file bytes ──decode──▶ uint8 RGB [H, W, 3] ──render──▶ uint8 RGB [S, S, 3]

`Preprocessing` runs this in the input pipeline and in the exported graph; then the
backbone's normalization, a row of `NORMALIZATIONS`, runs as layers inside the model.
Between the two, images stay uint8, a quarter of float32's bytes to cache and move.

`render` resamples a crop box of the decoded image once. Validation uses the box that
`compute_box` returns; a random crop is another box through the same function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from zoo.config import Config
from zoo.table import Table

_KERNELS = {"bilinear": "triangle", "bicubic": "keyscubic", "lanczos3": "lanczos3"}


class Preprocessing(Config):
    """Decodes an image and resizes it to a square.

    Args:
        size: S, height and width of the result in pixels, 8 to 1024.
        fit: `crop` keeps the largest centered square; `stretch` keeps the whole image
            and changes its aspect ratio; `pad` keeps the whole image and its aspect
            ratio, and fills the rest with black.
        interpolation: The resampling kernel, antialiased when the image shrinks.
    """

    size: Annotated[int, Field(ge=8, le=1024)]
    fit: Literal["crop", "stretch", "pad"] = "crop"
    interpolation: Literal["bilinear", "bicubic", "lanczos3"] = "bilinear"

    def __call__(self, encoded: Any) -> Any:
        """Decodes and resizes one image file.

        Args:
            encoded: string [], the bytes of a JPEG, PNG, GIF, BMP or WebP file.

        Returns:
            uint8 [S, S, 3].
        """
        return self.fit_image(decode(encoded))

    def fit_image(self, image: Any) -> Any:
        """Resizes a decoded image to the square.

        Args:
            image: uint8 [H, W, 3] of any H and W, which the graph need not know.

        Returns:
            uint8 [S, S, 3].
        """
        return self.render(image, self.compute_box(image))

    def compute_box(self, image: Any) -> Any:
        """Returns the crop box of an image, by `fit`.

        Args:
            image: uint8 [H, W, 3].

        Returns:
            float32 [4]: top, left, height and width, in pixels of the image. With `pad`
            the box extends beyond the image.
        """
        import tensorflow as tf

        sides = tf.unstack(tf.cast(tf.shape(image)[:2], tf.float32))
        return tf.stack(self.compute_boxes(*sides))

    def compute_boxes(self, height: Any, width: Any) -> tuple[Any, Any, Any, Any]:
        """Returns the crop boxes of one or many images from their sides alone.

        Args:
            height: In pixels: a float, an array or a tensor.
            width: In pixels, like `height`.

        Returns:
            Top, left, height and width of the boxes, in pixels, each shaped like `height`.
        """
        if self.fit == "stretch":
            return 0 * height, 0 * width, height, width
        # The shorter or longer side by operators that floats, arrays and tensors share;
        # exact for whole numbers.
        gap = abs(height - width)
        side = (height + width + (-gap if self.fit == "crop" else gap)) / 2
        return (height - side) / 2, (width - side) / 2, side, side

    def render(self, image: Any, box: Any) -> Any:
        """Resamples a crop box of an image to the square.

        The kernel is that of `tf.image.resize(antialias=True)`; the result is the same if
        the box is the whole image.

        Args:
            image: uint8 [H, W, 3].
            box: float32 [4]: top, left, height and width, in pixels. Outside the image it
                is black.

        Returns:
            uint8 [S, S, 3], rounded to the nearest integer.
        """
        import tensorflow as tf

        size, (height, width) = self.size, tf.unstack(tf.shape(image)[:2])
        # One side at a time, with the other side folded into the channels: the same sums in
        # the same order as for both sides at once, but over long rows, which is faster.
        rows = self._resample(tf.reshape(image, (height, width * 3)), box[0], box[2])
        columns = tf.transpose(tf.reshape(rows, (size, width, 3)), (1, 0, 2))
        columns = self._resample(tf.reshape(columns, (width, size * 3)), box[1], box[3])
        pixels = tf.transpose(tf.reshape(columns, (size, size, 3)), (1, 0, 2))
        # Saturated, since bicubic and Lanczos kernels overshoot 0 to 255; rounded, since a
        # cast truncates.
        return tf.saturate_cast(tf.round(pixels), tf.uint8)

    def _resample(self, values: Any, start: Any, length: Any) -> Any:
        """Resamples the first dimension of [N, M]: `length` values from `start` on become S."""
        import tensorflow as tf

        scale = self.size / length
        return tf.raw_ops.ScaleAndTranslate(
            images=values[tf.newaxis, :, tf.newaxis],  # M channels, one column
            size=[self.size, 1],
            scale=tf.stack([scale, 1.0]),
            translation=tf.stack([-start * scale, 0.0]),
            kernel_type=_KERNELS[self.interpolation],
            antialias=True,
        )[0, :, 0]


def decode(encoded: Any) -> Any:
    """Decodes the bytes of one image, in the graph or eagerly.

    Args:
        encoded: string [], a JPEG, PNG, GIF (its first frame), BMP or WebP file.

    Returns:
        uint8 RGB [H, W, 3]. The EXIF orientation is ignored, in training and in serving.

    Raises:
        tf.errors.InvalidArgumentError: The bytes are not an image of these formats.
    """
    import tensorflow as tf

    # TensorFlow's default for JPEG, the fast DCT, has twice the error of the accurate DCT,
    # which Pillow and OpenCV use.
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
    )
    image.set_shape((None, None, 3))
    return image


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
