"""Decoded images: decoded once, in parallel, and kept in memory for every epoch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.sources.source import Examples
from zoo.errors import DataError
from zoo.preprocessing import decode


@dataclass(frozen=True)
class DecodedImages:
    """Images decoded once and kept in one flat buffer, outside of TensorFlow's graphs.

    An iterator over a dataset keeps a copy of every tensor its functions capture; of
    these it holds none.

    Args:
        pixels: uint8 [sum of H × W × 3], one image after the other.
        starts: int64 [N], where each begins.
        shapes: int64 [N, 2], height and width.
    """

    pixels: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]
    shapes: npt.NDArray[np.int64]

    def pick(self, indices: Iterable[int]) -> list[npt.NDArray[np.uint8]]:
        """Returns images as uint8 [H, W, 3], without copying them."""
        starts, shapes, pixels = self.starts, self.shapes, self.pixels
        found = []
        for index in indices:
            start, (height, width) = starts[index], shapes[index]
            flat = pixels[start : start + 3 * height * width]
            found.append(flat.reshape(height, width, 3))
        return found

    def fetch(self, index: Any) -> Any:
        """Returns the image at an index, int64 [], as uint8 [H, W, 3], in the graph or eagerly."""
        import tensorflow as tf

        image = tf.numpy_function(
            lambda index: self.pick([index])[0], [index], tf.uint8, stateful=False
        )
        return tf.ensure_shape(image, (None, None, 3))


def decode_images(examples: Examples, cache_mib: int) -> DecodedImages | None:
    """Decodes all images into memory, if they fit.

    Whether they do is known from their scan, so nothing is decoded in vain. They
    are decoded in parallel into one buffer; beside it, only the images being decoded
    at the moment take memory.

    Args:
        examples: Scanned, so that their sizes are known; others do not fit.
        cache_mib: How much they may take, in MiB.

    Returns:
        The images, or None where they do not fit.

    Raises:
        DataError: A file is no longer what it was when it was scanned.
    """
    if examples.shapes is None or not len(examples):
        return None
    shapes = examples.shapes
    sizes = 3 * shapes.prod(axis=1)
    ends = np.cumsum(sizes)
    if ends[-1] > cache_mib * 2**20:
        return None
    import tensorflow as tf

    buffer = np.empty(int(ends[-1]), np.uint8)

    def fill(index: int) -> None:
        try:
            with tf.device("CPU"):
                image = decode(tf.constant(examples.read(index))).numpy()
        except (OSError, tf.errors.OpError):
            image = np.empty((0, 0, 3), np.uint8)
        if image.shape != (*shapes[index], 3):
            raise DataError(
                f"{examples.names[index]} changed while the job ran",
                expected=" × ".join(map(str, shapes[index])) + " pixels, as it was scanned",
                received=" × ".join(map(str, image.shape[:2])) if image.size else "no image",
                mend="start again",
            )
        buffer[ends[index] - sizes[index] : ends[index]] = image.ravel()

    # TensorFlow's decoders release the interpreter's lock, so threads do decode in parallel.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for _ in pool.map(fill, range(len(examples))):
            pass
    return DecodedImages(buffer, ends - sizes, shapes)
