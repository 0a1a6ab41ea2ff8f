"""Preprocessing: decoding and resizing, the same in training and serving.

Training's validation, prediction and the exported graph share these functions, so a
served model computes what was evaluated. There are two steps:

    file bytes ──decode──▶ uint8 RGB [H, W, 3], frame ──render──▶ uint8 RGB [S, S, 3]

`Preprocessing` runs this in the input pipeline and in the exported graph; then the
backbone's normalization, a row of `NORMALIZATIONS`, runs as layers inside the model.
Between the two, images stay uint8, a quarter of float32's bytes to cache and move.

`render` resamples a crop box of the decoded image once. Validation uses the box that
`compute_box` returns; a random crop is another box through the same function.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field

from zoo.config import Config
from zoo.decoding.image_decoder import ImageDecoder, whole_frame
from zoo.decoding.transparency import parse_color

_KERNELS = {"bilinear": "triangle", "bicubic": "keyscubic", "lanczos3": "lanczos3"}

Depth = Annotated[int, Field(ge=8, le=16)]
"""How many bits colors use, 8 to 16."""


class PreprocessingSettings(Config):
    """How an image file becomes a square.

    Args:
        size: S, height and width of the result in pixels, 8 to 1024.
        fit: `crop` keeps the largest centered square; `stretch` keeps the whole image
            and changes its aspect ratio; `pad` keeps the whole image and its aspect
            ratio, and fills the rest with black.
        interpolation: The resampling kernel, antialiased when the image shrinks.
        background: The color behind transparent pixels, `#rrggbb`.
        decode: `scaled` decodes a JPEG at 1/2, 1/4 or 1/8 of its size where that leaves as
            many pixels as the square needs, which takes less time; `full` at its full size.
    """

    size: Annotated[int, Field(ge=8, le=1024)]
    fit: Literal["crop", "stretch", "pad"] = "crop"
    interpolation: Literal["bilinear", "bicubic", "lanczos3"] = "bilinear"
    background: Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")] = "#ffffff"
    decode: Literal["scaled", "full"] = "scaled"


class Preprocessing(PreprocessingSettings):
    """Decodes an image file and resizes it to a square.

    Args:
        depth: How many bits the colors of a PNG of 16 bits use: 8 to 16. Cameras and
            scanners store values of 10 or 12 bits in 16, which would be nearly black.
    """

    depth: Depth = 16

    def __call__(self, encoded: Any) -> Any:
        """Decodes and resizes one image file.

        Args:
            encoded: string [], the bytes of a JPEG, PNG, GIF, BMP or WebP file.

        Returns:
            uint8 [S, S, 3].
        """
        return self.fit_image(*self.decoder.decode(encoded))

    def decode_pixels(self, encoded: Any) -> Any:
        """Decodes one image file to pixels that `fit_image` resizes without knowing their frame.

        Args:
            encoded: As `__call__`.

        Returns:
            uint8 [H, W, 3]; where the frame is not whole, the square, which `fit_image` keeps.
        """
        import tensorflow as tf

        image, frame = self.decoder.decode(encoded)
        is_whole = tf.reduce_all(frame == whole_frame(image))
        return tf.cond(is_whole, lambda: image, lambda: self.fit_image(image, frame))

    @property
    def decoder(self) -> ImageDecoder:
        """Decodes files for the evaluation transform."""
        return self.build_decoder(1.0)

    def build_decoder(self, smallest_view: float) -> ImageDecoder:
        """Builds a decoder for views of a part of the evaluation crop.

        Args:
            smallest_view: The smallest part of the crop's side that a view shows, above 0 to
                1; JPEG files are reduced by less the smaller it is.
        """
        needed = math.ceil(self.size / smallest_view - 1e-6) if self.decode == "scaled" else 0
        color = parse_color(self.background)
        return ImageDecoder(color, self.depth, needed, longer=self.fit == "pad")

    def fit_image(self, image: Any, frame: Any = None) -> Any:
        """Resizes a decoded image to the square.

        Args:
            image: uint8 [H, W, 3] of any H and W, which the graph need not know.
            frame: As of `ImageDecoder.decode`; None takes all pixels for the image.

        Returns:
            uint8 [S, S, 3].
        """
        return self.render(image, self.compute_box(whole_frame(image) if frame is None else frame))

    def compute_box(self, frame: Any) -> Any:
        """Returns the crop box of an image, by `fit`.

        Args:
            frame: float32 [4]: top, left, height and width of the image, in pixels.

        Returns:
            float32 [4]: top, left, height and width, in pixels. With `pad` the box extends
            beyond the image.
        """
        import tensorflow as tf

        top, left, *sides = tf.unstack(frame)
        box_top, box_left, height, width = self.compute_boxes(*sides)
        return tf.stack([top + box_top, left + box_left, height, width])

    def compute_boxes(self, height: Any, width: Any) -> tuple[Any, Any, Any, Any]:
        """Returns the crop boxes of one or many images from their sides alone.

        Args:
            height: In pixels: a float, an array or a tensor.
            width: In pixels, like `height`.

        Returns:
            Top and left of the boxes within the images, height and width, in pixels, each
            shaped like `height`.
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
    """Decodes one image file by the usual settings, at its full size; in the graph or eagerly.

    Args:
        encoded: string [], the bytes of a JPEG, PNG, GIF, BMP or WebP file.

    Returns:
        uint8 RGB [H, W, 3]; see `zoo.decoding.image_decoder.ImageDecoder`.

    Raises:
        tf.errors.InvalidArgumentError: The bytes are not an image of these formats.
    """
    return ImageDecoder()(encoded)
