"""The one transform from an uploaded file to what a backbone sees.

Validation, prediction and the exported graph call these very functions, so
what is measured is what is served. There are two steps:

    file bytes ──decode──▶ uint8 RGB [H, W, 3] ──render──▶ uint8 RGB [S, S, 3]

by `Preprocessing`, in the input pipeline and in the exported graph; and the
backbone's own normalization, by `NORMALIZATIONS`, as layers inside the model.
In between the image stays uint8: a quarter of the bytes to cache and move.

`render` draws a box of the decoded image in one resampling. Validation's box
is `box`; a random crop is another box through the same `render`.
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
    """Decodes an image and fits it into a square of the network's size.

    Args:
        size: Height and width of the result, in pixels, 8 to 1024.
        fit: `crop` keeps the largest centered square; `stretch` scales both
            sides on their own and loses no border; `pad` keeps the whole image
            in proportion and fills the rest with black.
        interpolation: The kernel, always with antialiasing when it shrinks.
    """

    size: Annotated[int, Field(ge=8, le=1024)]
    fit: Literal["crop", "stretch", "pad"] = "crop"
    interpolation: Literal["bilinear", "bicubic", "lanczos3"] = "bilinear"

    def __call__(self, encoded: Any) -> Any:
        """Turns a file's bytes into what the network's first layer gets.

        Args:
            encoded: string [], the bytes of a JPEG, PNG, GIF, BMP or WebP.

        Returns:
            uint8 [S, S, 3].
        """
        return self.fit_image(decode(encoded))

    def fit_image(self, image: Any) -> Any:
        """Fits a decoded image into the square.

        Args:
            image: uint8 [H, W, 3], H and W any and known only when it runs.

        Returns:
            uint8 [S, S, 3].
        """
        return self.render(image, self.box(image))

    def box(self, image: Any) -> Any:
        """Returns the part of an image that the network is shown.

        Args:
            image: uint8 [H, W, 3].

        Returns:
            float32 [4]: top, left, height and width in pixels of the image;
            with `pad` it reaches beyond the image.
        """
        import tensorflow as tf

        return tf.stack(self.box_of(*tf.unstack(tf.cast(tf.shape(image)[:2], tf.float32))))

    def box_of(self, height: Any, width: Any) -> tuple[Any, Any, Any, Any]:
        """Returns the same for images of known sizes, as floats, arrays or tensors.

        Args:
            height: In pixels.
            width: In pixels.

        Returns:
            Top, left, height and width, as `box` has them.
        """
        if self.fit == "stretch":
            return 0 * height, 0 * width, height, width
        # The smaller or larger of the two, by operators alone; exact for whole numbers.
        gap = abs(height - width)
        side = (height + width + (-gap if self.fit == "crop" else gap)) / 2
        return (height - side) / 2, (width - side) / 2, side, side

    def render(self, image: Any, box: Any) -> Any:
        """Draws a box of an image into the square, in one resampling.

        The same kernel as `tf.image.resize(antialias=True)`, which it equals
        when the box is the whole image.

        Args:
            image: uint8 [H, W, 3].
            box: float32 [4], as `box` returns it; what lies outside of the
                image is black.

        Returns:
            uint8 [S, S, 3], rounded to the nearest.
        """
        import tensorflow as tf

        size, (height, width) = self.size, tf.unstack(tf.shape(image)[:2])
        # One side at a time, the other two dimensions as one of channels: the same sums in
        # the same order as for both at once, with long rows to add instead of three numbers.
        rows = self._resample(tf.reshape(image, (height, width * 3)), box[0], box[2])
        columns = tf.transpose(tf.reshape(rows, (size, width, 3)), (1, 0, 2))
        columns = self._resample(tf.reshape(columns, (width, size * 3)), box[1], box[3])
        drawn = tf.transpose(tf.reshape(columns, (size, size, 3)), (1, 0, 2))
        # Bicubic and Lanczos overshoot, hence the saturation; a bare cast truncates.
        return tf.saturate_cast(tf.round(drawn), tf.uint8)

    def _resample(self, values: Any, start: Any, length: Any) -> Any:
        """Resamples the first dimension of [N, M] from so many of its values to S."""
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
        encoded: string [], a JPEG, PNG, GIF (its first frame), BMP or WebP.

    Returns:
        uint8 RGB [H, W, 3]. An EXIF orientation is not applied, here and
        therefore nowhere.

    Raises:
        tf.errors.InvalidArgumentError: The bytes are no such image.
    """
    import tensorflow as tf

    # TensorFlow's own choice for JPEG, the fast transform, errs twice as far from the
    # original as the accurate one, which Pillow and OpenCV use.
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
    )
    image.set_shape((None, None, 3))
    return image


Apply = Callable[[Any], Any]
Channels = tuple[float, float, float]


def _unfitted(pixels: Any) -> Any:
    """Stands where a function will be once a normalization is fitted."""
    raise ValueError("This normalization has to be fitted to the training images first.")


@dataclass(frozen=True)
class Normalization:
    """How a pixel in 0 to 255 becomes the number a backbone is trained on.

    Args:
        name: The key in NORMALIZATIONS.
        summary: The formula, and when to use it.
        apply: Maps float32 [B, S, S, 3] in 0 to 255 to the normalized tensor,
            by Keras' own layers and operations alone, so that a saved model
            loads where this project is not installed. Raises ValueError until it is
            fitted.
        fit: Maps the mean and the standard deviation of each channel of the training
            images, in 0 to 1, to `apply`; None where it is fixed.
    """

    name: str
    summary: str
    apply: Apply = _unfitted
    fit: Callable[[Channels, Channels], Apply] | None = None

    def fitted(self, mean: Channels, std: Channels) -> Normalization:
        """Returns the same with `apply` made from what the training images are like.

        Args:
            mean: Of each channel, in 0 to 1.
            std: Of each channel, in 0 to 1; where nothing varies, 1 is taken.

        Raises:
            ValueError: It is fixed.
        """
        if self.fit is None:
            raise ValueError(f"The normalization {self.name!r} is fixed.")
        red, green, blue = (s or 1.0 for s in std)
        return replace(self, apply=self.fit(mean, (red, green, blue)))


def _rescale(scale: float, offset: float | tuple[float, ...], name: str) -> Apply:
    def apply(pixels: Any) -> Any:
        import keras

        # float32 whatever the policy: a half has too few bits for 0 to 255 and a mean.
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
        Normalization("none", "0 to 255; the backbone normalizes inside", lambda pixels: pixels),
        Normalization(
            "center",
            "x / 255 - mean of the training images: for a backbone with random weights",
            fit=lambda mean, std: _rescale(1 / 255, tuple(-m for m in mean), "center"),
        ),
        Normalization(
            "standardize",
            "(x / 255 - mean) / std of the training images: the usual one for random weights",
            fit=lambda mean, std: _standardize(mean, std, "standardize"),
        ),
        Normalization(
            "signed_unit",
            "(x / 255 - 0.5) / 0.5: fixed halves, -1 to 1",
            _rescale(1 / 127.5, -1.0, "signed_unit"),
        ),
        Normalization(
            "imagenet",
            "(x / 255 - mean) / std of ImageNet, RGB",
            _standardize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "imagenet"),
        ),
        Normalization("caffe", "BGR minus the means of ImageNet, not scaled", _caffe),
        Normalization(
            "cifar10",
            "(x / 255 - mean) / std of CIFAR-10, RGB",
            _standardize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), "cifar10"),
        ),
    ],
)
