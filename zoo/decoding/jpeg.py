"""JPEG files, in the graph: upright, at a fraction of their size where that is enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zoo.decoding.branching import call_if, call_one
from zoo.decoding.byte_strings import take
from zoo.decoding.orientation import read_orientation, turn_frame, turn_upright

REDUCTIONS = (1, 2, 4, 8)
"""Divisors of both sides that the inverse DCT yields directly."""

Reduce = Callable[[Any, Any], Any]
"""Chooses an index into REDUCTIONS by an image's height and width in pixels."""

PythonReduce = Callable[[int, int], int]
"""Chooses one of REDUCTIONS, by numbers of Python."""

_METHOD = "INTEGER_ACCURATE"
"""TensorFlow's default, the fast DCT, has twice the error of this one, of Pillow and OpenCV."""

_TABLES, _JFIF = b"\xff\xdb", b"\xff\xe0\x00\x10"
_APP1, _APP14 = 0xE1, 0xEE
_ADOBE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
"""Adobe's marker: four inks, stored inverted and not as YCCK."""


def decode_jpeg(encoded: Any, reduce: Reduce | None) -> tuple[Any, Any]:
    """Decodes a JPEG file, inside a graph.

    Args:
        encoded: string [], the file.
        reduce: Chooses by how much it is reduced; None decodes it at its full size.

    Returns:
        uint8 RGB [⌈H / r⌉, ⌈W / r⌉, 3], upright; and the frame that the image covers of these
        pixels, float32 [4]: top, left, and exactly H / r and W / r. The last row and column
        reach beyond it where a side is no multiple of r.

    Raises:
        tf.errors.InvalidArgumentError: The file is damaged.
    """
    import tensorflow as tf

    shape = tf.image.extract_jpeg_shape(encoded)
    reductions = REDUCTIONS[:1] if reduce is None else REDUCTIONS
    index = 0 if reduce is None else reduce(shape[0], shape[1])

    def decode_unusual(encoded: Any, shape: Any, index: Any) -> Any:
        encoded = call_if(shape[2] == 4, _mark_inks, tf.identity, encoded)
        image, frame = call_one(index, _decoders(reductions), encoded, shape, index)
        start, size = find_segment(encoded, _APP1, b"Exif\x00\x00")
        orientation = read_orientation(take(encoded, start, size))
        image = turn_upright(image, orientation)
        return image, turn_frame(frame, tf.shape(image)[:2], orientation)

    is_plain = _begins_with_tables(encoded) & (shape[2] < 4)
    branches = [*_decoders(reductions), decode_unusual]
    chosen = tf.where(is_plain, index, len(branches) - 1)
    return call_one(chosen, branches, encoded, shape, tf.constant(0) + index)


def _decoders(reductions: tuple[int, ...]) -> list[Callable[..., Any]]:
    import tensorflow as tf

    def decoder(ratio: int) -> Callable[..., Any]:
        return lambda encoded, shape, index: (
            tf.io.decode_jpeg(encoded, channels=3, ratio=ratio, dct_method=_METHOD),
            tf.concat([[0.0, 0.0], tf.cast(shape[:2], tf.float32) / ratio], 0),
        )

    return [decoder(ratio) for ratio in reductions]


def _begins_with_tables(encoded: Any) -> Any:
    """Returns whether a file has no metadata: behind JFIF's segment, if any, its tables come."""
    import tensorflow as tf

    head = take(encoded, 0, 22)
    is_jfif = tf.equal(take(head, 2, 4), _JFIF)
    return tf.equal(take(head, tf.where(is_jfif, 20, 2), 2), _TABLES)


def decode_bare_jpeg(content: bytes, reduce: PythonReduce | None) -> tuple[Any, Any] | None:
    """Decodes a JPEG file that `decode_jpeg` leaves to one operation, outside of any graph.

    Args:
        content: The bytes of the file.
        reduce: Chooses by how much it is reduced; None decodes it at its full size.

    Returns:
        As `decode_jpeg`; None where the file has metadata or four inks, or is no JPEG file.

    Raises:
        tf.errors.InvalidArgumentError: The file is damaged.
    """
    import tensorflow as tf

    tables = 20 if content[2:6] == _JFIF else 2
    if content[:3] != b"\xff\xd8\xff" or content[tables : tables + 2] != _TABLES:
        return None
    height, width, channels = tf.image.extract_jpeg_shape(content).numpy().tolist()
    if channels == 4:
        return None
    ratio = 1 if reduce is None else reduce(height, width)
    image = tf.io.decode_jpeg(content, channels=3, ratio=ratio, dct_method=_METHOD)
    return image, tf.constant([0.0, 0.0, height / ratio, width / ratio])


def find_segment(encoded: Any, marker: int, prefix: bytes) -> tuple[Any, Any]:
    """Finds the first segment of metadata of a kind; they come before the tables.

    Args:
        encoded: string [], a JPEG file.
        marker: The second byte of its marker.
        prefix: How it starts, an even number of bytes.

    Returns:
        Start of what follows the prefix, int32 [], −1 if there is none, and its size.
    """
    import tensorflow as tf

    words = [int.from_bytes(prefix[i : i + 2]) for i in range(0, len(prefix), 2)]
    header = 4 + len(prefix)
    end = tf.strings.length(encoded)

    def is_searching(position: Any, start: Any, size: Any) -> Any:
        return (start < 0) & (position + header <= end)

    def step(position: Any, start: Any, size: Any) -> tuple[Any, Any, Any]:
        part = take(encoded, position, header)
        read = tf.cast(tf.io.decode_raw(part, tf.uint16, little_endian=False), tf.int32)
        code, length = read[0] - 0xFF00, read[1]
        is_found = (code == marker) & tf.reduce_all(read[2:] == words)
        # Metadata are in segments of applications and in comments; a byte 255 is padding.
        is_metadata = (code >= 0xE0) & (code <= 0xEF) | (code == 0xFE)
        following = tf.where(is_metadata, position + 2 + tf.maximum(length, 2), end)
        return (
            tf.where(code == 0xFF, position + 1, following),
            tf.where(is_found, position + header, -1),
            tf.maximum(length - 2 - len(prefix), 0),
        )

    _, start, size = tf.while_loop(is_searching, step, (2, -1, 0))
    return start, tf.where(start < 0, 0, size)


def _mark_inks(encoded: Any) -> Any:
    """Adds Adobe's marker to a JPEG file of four inks that lacks it.

    Software for printing inverts the inks, whether it says so or not, and every viewer takes
    them for inverted.
    """
    import tensorflow as tf

    start, _ = find_segment(encoded, _APP14, b"Adob")
    rest = take(encoded, 2, tf.strings.length(encoded) - 2)
    return tf.where(start < 0, tf.strings.join([b"\xff\xd8", _ADOBE, rest]), encoded)
