"""Decoded images: decoded once, in parallel, and kept in memory for every epoch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.sources.columns import Files
from pipelines.sources.source import Examples
from zoo.decoding.image_decoder import ImageDecoder
from zoo.errors import DataError

AHEAD_MIB = 64
"""Memory for images that are decoded before a dataset reads them, in MiB."""

_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True)
class DecodedImages:
    """Images of any sizes in one flat buffer, kept outside of TensorFlow's graphs.

    A dataset iterator copies every tensor that its functions capture; NumPy arrays read
    through `tf.numpy_function` are not copied.

    Args:
        pixels: uint8 [sum of H × W × 3], the images one after the other.
        starts: int64 [N], offset of each image in `pixels`.
        shapes: int64 [N, 2], height and width.
        frames: float32 [N, 4], as of `ImageDecoder.decode`.
    """

    pixels: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]
    shapes: npt.NDArray[np.int64]
    frames: npt.NDArray[np.float32]

    def pick(self, indices: Iterable[int]) -> list[npt.NDArray[np.uint8]]:
        """Returns images as uint8 [H, W, 3] views of the buffer, without a copy."""
        images = []
        for index in indices:
            start, (height, width) = self.starts[index], self.shapes[index]
            flat = self.pixels[start : start + 3 * height * width]
            images.append(flat.reshape(height, width, 3))
        return images

    def read(self, index: Any) -> tuple[Any, Any]:
        """Returns the image at an index, int64 [], as `ImageDecoder.decode` does."""
        import tensorflow as tf

        image, frame = tf.numpy_function(
            lambda index: (self.pick([index])[0], self.frames[index]),
            [index],
            (tf.uint8, tf.float32),
            stateful=False,
        )
        return tf.ensure_shape(image, (None, None, 3)), tf.ensure_shape(frame, (4,))


def build_reader(
    examples: Examples,
    decoder: ImageDecoder,
    decoded: DecodedImages | None = None,
    *,
    ahead_mib: int = AHEAD_MIB,
) -> Callable[[Any], tuple[Any, Any]]:
    """Builds a graph function from an index, int64 [], to an image as of `ImageDecoder.decode`.

    A function that decodes holds a branch for every format, and TensorFlow optimizes it anew
    for each iterator, which takes up to a second. So images that fit into a little memory are
    decoded here, and the function only picks them.

    Args:
        examples: Any split.
        decoder: Decodes their files.
        decoded: The same images decoded; None decodes them here, or at each call.
        ahead_mib: Memory for images that are decoded here, in MiB; where they do not fit, or
            were not scanned, an image is read and decoded at each call.

    Raises:
        DataError: A file changed after it was scanned.
    """
    decoded = decoded or decode_images(examples, decoder, ahead_mib)
    if decoded is not None:
        return decoded.read
    read = _build_file_reader(examples)
    return _prefer_kept(examples, decoder, lambda index: decoder.decode(read(index)))


def build_pair_reader(
    examples: Examples, plain: ImageDecoder, larger: ImageDecoder, *, ahead_mib: int = AHEAD_MIB
) -> Callable[[Any], tuple[Any, Any]]:
    """Builds a graph function from an index to an image by two decoders.

    Args:
        examples: Any split.
        plain: Decodes files for the evaluation transform.
        larger: Decodes files for augmented views, which may need more of their pixels.
        ahead_mib: As of `build_reader`, for each decoder.

    Returns:
        Maps int64 [] to two images, each as of `ImageDecoder.decode`; decoded once where they
        are the same.
    """
    import tensorflow as tf

    read_plain = build_reader(examples, plain, ahead_mib=ahead_mib)
    agree = np.full(len(examples), plain == larger)
    if examples.shapes is not None:
        agree |= plain.reductions(examples.shapes) == larger.reductions(examples.shapes)
    if agree.all():
        return lambda index: (read_plain(index),) * 2
    if (decoded := decode_images(examples, larger, ahead_mib)) is not None:
        return lambda index: (read_plain(index), decoded.read(index))
    read = _build_file_reader(examples)

    def read_pair(index: Any) -> tuple[Any, Any]:
        image, frame = read_plain(index)

        def decode_again() -> Any:
            encoded = read(index)
            # No other format is reduced.
            is_jpeg = tf.io.is_jpeg(encoded)
            return tf.cond(is_jpeg, lambda: larger.decode(encoded), lambda: (image, frame))

        other, other_frame = tf.cond(
            tf.constant(agree)[index], lambda: (image, frame), decode_again
        )
        return (image, frame), (tf.ensure_shape(other, (None, None, 3)), other_frame)

    return read_pair


def _build_file_reader(examples: Examples) -> Callable[[Any], Any]:
    """Builds a graph function that maps an index, int64 [], to the bytes of a file, string []."""
    import tensorflow as tf

    with tf.device("CPU"):
        if examples.files is not None:
            # As bytes, because a file name need not be valid UTF-8.
            paths = tf.constant(list(Files.of(examples.files).paths()))
            return lambda index: tf.io.read_file(paths[index])
        encoded = tf.constant(examples.encoded)
        return lambda index: encoded[index]


def _prefer_kept(
    examples: Examples, decoder: ImageDecoder, read: Callable[[Any], tuple[Any, Any]]
) -> Callable[[Any], tuple[Any, Any]]:
    """Returns a reader that takes an image that the scan kept, and reads the file of others."""
    import tensorflow as tf

    images, found = _find_kept(examples, decoder)
    if images is None or not found.any():
        return read
    if found.all():
        return images.read
    is_kept = tf.constant(found)
    return lambda index: tf.cond(is_kept[index], lambda: images.read(index), lambda: read(index))


def _find_kept(
    examples: Examples, decoder: ImageDecoder
) -> tuple[DecodedImages | None, npt.NDArray[np.bool_]]:
    """Returns the images that the scan kept, and which of the examples these are, bool [N]."""
    kept = examples.kept
    if kept is None or not len(kept):
        return None, np.zeros(len(examples), bool)
    rows = kept.find_for(decoder, examples.binary_digests, examples.shapes)
    places = kept.places[rows]
    images = DecodedImages(kept.pixels, places[:, 0], places[:, 1:], kept.frames[rows])
    return images, rows >= 0


def decode_images(
    examples: Examples, decoder: ImageDecoder, cache_mib: int
) -> DecodedImages | None:
    """Decodes all images into memory if they fit.

    The scan recorded their sizes, so nothing is decoded that does not fit in the end. Threads
    decode into one buffer; apart from it, memory holds one image per thread.

    Args:
        examples: Scanned, with `shapes`; without them the images count as too large.
        decoder: Decodes their files.
        cache_mib: Memory for the decoded images, in MiB.

    Returns:
        The images, or None if they do not fit.

    Raises:
        DataError: An image is unreadable or has another size than when it was scanned.
    """
    if examples.shapes is None or not len(examples):
        return None
    shapes = _compute_shapes(examples, examples.shapes, decoder, cache_mib * 2**20)
    if shapes is None:
        return None
    sizes = 3 * shapes.prod(axis=1)
    ends = np.cumsum(sizes)
    images, found = _find_kept(examples, decoder)
    if images is not None and found.all():
        return images
    import tensorflow as tf

    buffer = np.empty(int(ends[-1]), np.uint8)
    frames = np.empty((len(examples), 4), np.float32)

    def decode_into_buffer(index: int) -> None:
        try:
            image, frames[index] = decoder.decode_bytes(examples.read(index))
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

    # TensorFlow's decoders release the GIL, so threads decode in parallel.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for _ in pool.map(decode_into_buffer, range(len(examples))):
            pass
    return DecodedImages(buffer, ends - sizes, shapes, frames)


def _compute_shapes(
    examples: Examples, shapes: npt.NDArray[np.int64], decoder: ImageDecoder, limit_bytes: int
) -> npt.NDArray[np.int64] | None:
    """Computes the shapes of decoded images, int64 [N, 2]; None if they exceed a limit."""
    reductions = decoder.reductions(shapes)
    reduced = -(-shapes // reductions[:, np.newaxis])
    if 3 * int(reduced.prod(axis=1).sum()) > limit_bytes:
        return None
    # Only JPEG files are reduced: their first bytes tell.
    for index in np.flatnonzero(reductions > 1):
        if not _is_jpeg(examples, int(index)):
            reduced[index] = shapes[index]
    return reduced if 3 * int(reduced.prod(axis=1).sum()) <= limit_bytes else None


def _is_jpeg(examples: Examples, index: int) -> bool:
    if examples.files is None:
        return examples.read(index).startswith(_JPEG)
    try:
        with open(Files.of(examples.files).path(index), "rb") as file:
            return file.read(len(_JPEG)) == _JPEG
    except OSError:
        return False
