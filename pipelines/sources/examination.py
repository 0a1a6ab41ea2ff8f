"""Examine the bytes of one image: format, size, colors, digest and problem.

The decoder is the one that training, validation and exported models use, so an
image that decodes here decodes there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.sources.formats import HEAD_BYTES, find_format_problem, format_of, why_failed

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

EXAMINATION = 1
"""Version of the rules below; incremented when the same bytes give another result, so that
what is in the ledger is examined again."""

MISSING = "missing"
"""The `problem` of a file that a table names and that does not exist."""

MAX_COUNTED_COLORS = 64
"""Largest number of colors that is counted exactly; a photograph has more."""


@dataclass(frozen=True)
class ImageScan:
    """Result of decoding one image.

    Args:
        name: Name of the image as in `Examples.names`.
        format: Format by the first bytes, whatever the extension: `JPEG`, `PNG`, …;
            empty if unknown.
        width: In pixels; 0 if the image does not decode.
        height: In pixels; 0 if the image does not decode.
        colors: Number of distinct colors: exact up to MAX_COUNTED_COLORS, else the
            number among about 4,000 evenly spaced pixels.
        sha256: Hexadecimal digest of the file; empty if the file was not read whole.
        problem: Why the image does not decode, in a few words; empty if it does.
    """

    name: str
    format: str = ""
    width: int = 0
    height: int = 0
    colors: int = 0
    sha256: str = ""
    problem: str = ""


def examine_image(name: str, content: bytes) -> ImageScan:
    """Decodes one image, once, and records what it is.

    Args:
        name: Name of the image as in `Examples.names`.
        content: The bytes of the file.
    """
    image, problem = decode_image(content)
    return ImageScan(
        name=name,
        format=format_of(content[:HEAD_BYTES]),
        height=0 if image is None else image.shape[0],
        width=0 if image is None else image.shape[1],
        colors=0 if image is None else _count_colors(image),
        sha256=hashlib.sha256(content).hexdigest(),
        problem=problem,
    )


def decode_image(content: bytes) -> tuple[npt.NDArray[np.uint8] | None, str]:
    """Decodes an image, or finds the reason why it does not decode.

    Args:
        content: The bytes of the file.

    Returns:
        uint8 [H, W, 3], or None; and the reason, such as 'cut off', or nothing.
    """
    import tensorflow as tf

    from zoo.preprocessing import decode

    if problem := find_format_problem(content):
        return None, problem
    try:
        with tf.device("CPU"):
            image: npt.NDArray[np.uint8] = decode(tf.constant(content)).numpy()
    except tf.errors.OpError:
        return None, why_failed(format_of(content[:HEAD_BYTES]), content)
    return (image, "") if image.size else (None, "has no pixels")


def _count_colors(image: npt.NDArray[np.uint8]) -> int:
    pixels = image.reshape(-1, 3)
    sampled = _distinct(pixels[:: max(1, len(pixels) // 4096) | 1])
    return sampled if sampled > MAX_COUNTED_COLORS else _distinct(pixels)


def _distinct(pixels: npt.NDArray[np.uint8]) -> int:
    import numpy as np

    codes = pixels.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    return len(np.unique(codes))
