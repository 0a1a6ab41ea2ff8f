"""Loads an image file as this model was trained to see it, with NumPy and Pillow alone.

A copy of this file lies beside every exported model but a SavedModel, which decodes files itself:

    from load_image import load_image
    pixels = load_image("new.jpg", size=224)  # the settings are in model.json

"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

ORIENTATION = 0x0112


def load_image(
    file: str | Path,
    size: int,
    fit: str = "crop",
    interpolation: str = "bilinear",
    background: str = "#ffffff",
    decode: str = "scaled",
    depth: int = 16,
) -> npt.NDArray[np.uint8]:
    """Decodes an image file and resizes it to the square that the model takes.

    Args:
        file: A JPEG, PNG, GIF, BMP or WebP file.
        size: S, height and width of the result, in pixels.
        fit: `crop` keeps the largest centered square, `stretch` and `pad` the whole image.
        interpolation: `bilinear`, `bicubic` or `lanczos3`, antialiased when the image shrinks.
        background: The color behind transparent pixels, `#rrggbb`.
        decode: `scaled` decodes a JPEG at 1/2, 1/4 or 1/8 of its size where that suffices.
        depth: Bits that the grays of a PNG of 16 bits use.

    Returns:
        uint8 RGB [S, S, 3].
    """
    with Image.open(file) as image:
        reduction = 1
        if decode == "scaled" and image.format == "JPEG":
            side = max(image.size) if fit == "pad" else min(image.size)
            reduction = max(r for r in (1, 2, 4, 8) if r == 1 or side // r >= size)
        width, height = image.size
        image.draft(None, (width // reduction, height // reduction))
        pixels = to_rgb(image, background, depth)
        orientation = image.getexif().get(ORIENTATION, 1)
    frame = height / reduction, width / reduction
    square = Image.fromarray(resize(pixels, frame, size, fit, interpolation))
    square.getexif()[ORIENTATION] = orientation
    return np.asarray(ImageOps.exif_transpose(square))


def to_rgb(image: Any, background: str, depth: int) -> npt.NDArray[np.uint8]:
    """Returns the pixels of an image on a background.

    Args:
        image: Of Pillow, in any mode.
        background: The color behind transparent pixels, `#rrggbb`.
        depth: Bits that grays of 16 bits use.

    Returns:
        uint8 RGB [H, W, 3].
    """
    if image.mode.startswith("I"):
        gray = np.minimum(np.asarray(image).astype(np.int64) >> (depth - 8), 255)
        return np.repeat(gray.astype(np.uint8)[..., np.newaxis], 3, axis=-1)
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    pixels = np.asarray(image.convert("RGBA"), np.float64)
    alpha = pixels[..., 3:] / 255
    behind = np.frombuffer(bytes.fromhex(background.removeprefix("#")), np.uint8)
    return np.rint(pixels[..., :3] * alpha + behind * (1 - alpha)).astype(np.uint8)


def resize(
    pixels: npt.NDArray[np.uint8],
    frame: tuple[float, float],
    size: int,
    fit: str = "crop",
    interpolation: str = "bilinear",
) -> npt.NDArray[np.uint8]:
    """Resamples pixels to the square that the model takes.

    Args:
        pixels: uint8 [H, W, 3].
        frame: Height and width of the image in them, from the upper left corner: a JPEG of 375 rows
            at half its size has 188, of which 187.5 are the image.
        size: S, height and width of the result, in pixels.
        fit: As of `load_image`.
        interpolation: As of `load_image`.

    Returns:
        uint8 [S, S, 3].
    """
    rows, columns = (
        resampling_weights(count, start, length, size, interpolation)
        for count, (start, length) in zip(pixels.shape, boxes(*frame, fit), strict=False)
    )
    square = rows @ pixels.astype(np.float64).reshape(len(pixels), -1)
    square = square.reshape(size, -1, 3).swapaxes(0, 1).reshape(pixels.shape[1], -1)
    square = (columns @ square).reshape(size, size, 3).swapaxes(0, 1)
    # Halves are common. Rounded twice, they do not depend on the order of the library's sums.
    return np.clip(np.rint(np.round(square, 5)), 0, 255).astype(np.uint8)


def boxes(height: Any, width: Any, fit: str) -> list[tuple[Any, Any]]:
    """Returns start and length of what is kept of the rows, and of the columns, in pixels.

    Args:
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        fit: As of `load_image`.
    """
    if fit == "stretch":
        return [(0 * height, height), (0 * width, width)]
    gap = abs(height - width)
    side = (height + width + (-gap if fit == "crop" else gap)) / 2
    return [((height - side) / 2, side), ((width - side) / 2, side)]


def resampling_weights(
    count: Any, start: Any, length: Any, size: int, interpolation: str, ops: Any = np
) -> Any:
    """Computes how much each of `count` pixels adds to each of `size`, [size, count].

    They are those of `tf.image.resize(antialias=True)` for `length` pixels from `start` on.

    Args:
        count: Pixels along a side.
        start: Where the part of them begins that becomes the result, perhaps below 0.
        length: Of how many pixels it is.
        size: Pixels of the result.
        interpolation: As of `load_image`.
        ops: `numpy`, for float64, or `keras.ops`, for float32.
    """
    dtype = "float64" if ops is np else "float32"
    step = length / size
    centers = (ops.arange(size, dtype=dtype) + 0.5) * step + start
    distances = ops.abs(ops.arange(count, dtype=dtype) + 0.5 - centers[:, np.newaxis])
    weights = kernel(distances / ops.maximum(step, 1.0), interpolation, ops)
    total = ops.sum(weights, axis=1, keepdims=True)
    # Outside of the image it is black.
    is_inside = ((centers >= 0) & (centers <= count))[:, np.newaxis]
    return ops.where(is_inside, weights / ops.where(total == 0, 1.0, total), 0.0)


def kernel(distances: Any, interpolation: str, ops: Any = np) -> Any:
    """Computes a resampling kernel.

    Args:
        distances: From its center, in pixels, 0 or more.
        interpolation: As of `load_image`.
        ops: `numpy` or `keras.ops`.
    """
    x = distances
    if interpolation == "bilinear":
        return ops.maximum(1 - x, 0.0)
    if interpolation == "bicubic":
        near = (1.5 * x - 2.5) * x * x + 1
        far = ((-0.5 * x + 2.5) * x - 4) * x + 2
        return ops.where(x < 1, near, ops.where(x < 2, far, 0.0))
    angle = math.pi * ops.maximum(x, 1e-3)
    return ops.where(x < 3, 3 * ops.sin(angle) * ops.sin(angle / 3) / (angle * angle), 0.0)
