"""Images to predict: files, and those that are in memory as bytes, pictures or arrays."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pipelines.serving.image_files import list_image_files
from zoo.errors import DataError, InputError

Image: TypeAlias = Any
"""A file, folder or glob as text or path; the bytes of an image file; a picture of Pillow; or
pixels, uint8 [H, W, 3], [H, W, 4] with transparency, [H, W, 1] or [H, W]. Pixels may also
come as a batch [B, H, W, 1, 3 or 4]."""

_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})


@dataclass(frozen=True)
class Input:
    """An image to predict.

    Args:
        name: The file's path, or the position of an image in memory, as `images[3]`.
        read: Returns the bytes of an image file; raises OSError where it cannot.
    """

    name: str
    read: Callable[[], bytes]


def list_inputs(images: Image | Iterable[Image]) -> list[Input]:
    """Lists images of every kind, in their order.

    What is in memory as pixels becomes a PNG file in memory, so that it goes the one way
    of every image. Files of a folder or glob follow each other.

    Args:
        images: One `Image`, or several.

    Raises:
        DataError: There is no such file or folder, or no image at all.
        InputError: An image is of none of these kinds, or its array of another type or shape.
    """
    if _is_one(images):
        images = [images]
    elif not isinstance(images, Iterable):
        raise _unknown(images)
    inputs = [found for image in images for found in _inputs_of(image)]
    numbered = (
        Input(each.name or f"images[{position}]", each.read) for position, each in enumerate(inputs)
    )
    if not inputs:
        raise DataError("there is no image to classify", expected="one image or more")
    return list(numbered)


def _is_one(image: object) -> bool:
    kinds = (str, os.PathLike, bytes, bytearray, memoryview, np.ndarray)
    return isinstance(image, kinds) or _is_picture(image)


def _inputs_of(image: Image) -> Iterator[Input]:
    if isinstance(image, str | os.PathLike):
        for file in list_image_files(Path(image)):
            # A byte of the path that is not UTF-8 becomes \xe9.
            yield Input(os.fsencode(file).decode(errors="backslashreplace"), file.read_bytes)
    elif isinstance(image, bytes | bytearray | memoryview):
        content = bytes(image)
        yield Input("", lambda: content)
    elif _is_picture(image):
        yield Input("", lambda: _encode(image))
    elif isinstance(image, np.ndarray):
        for pixels in _split(image):
            yield Input("", lambda pixels=pixels: _encode_pixels(pixels))  # type: ignore[misc]
    else:
        raise _unknown(image)


def _is_picture(image: object) -> bool:
    from PIL import Image as pillow

    return isinstance(image, pillow.Image)


def _split(array: npt.NDArray[Any]) -> Iterator[npt.NDArray[np.uint8]]:
    """Yields the pixels of each image of an array."""
    has_channels = array.ndim in (3, 4) and array.shape[-1] in (1, 3, 4)
    if array.dtype != np.uint8 or not (array.ndim == 2 or has_channels) or 0 in array.shape:
        raise InputError(
            "an array is no image",
            expected="uint8 pixels in 0 to 255, [H, W, 3], [H, W, 4], [H, W, 1] or [H, W], "
            "or a batch of the former three",
            received=f"{array.dtype} {list(array.shape)}",
            mend="scale the values to 0 to 255, and convert them by .astype('uint8')",
        )
    yield from array if array.ndim == 4 else [array]


def _encode_pixels(pixels: npt.NDArray[np.uint8]) -> bytes:
    from PIL import Image as pillow

    return _encode(pillow.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels))


def _encode(picture: Any) -> bytes:
    """Returns a picture as a PNG file, upright by its EXIF orientation."""
    from PIL import ImageOps

    picture = ImageOps.exif_transpose(picture)
    if picture.mode not in _PNG_MODES:
        picture = picture.convert("RGB")
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _unknown(image: object) -> InputError:
    return InputError(
        "an image is of an unknown kind",
        expected="a path, the bytes of an image file, a picture of Pillow or an array",
        received=type(image).__name__,
    )
