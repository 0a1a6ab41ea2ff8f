"""WebP files, in the graph: upright, their first frame, on a background."""

from __future__ import annotations

from typing import Any

from zoo.decoding.byte_strings import (
    MAX_CANVAS_PIXELS,
    read_integer,
    refuse_unless,
    replace_bytes,
    take,
)
from zoo.decoding.orientation import read_orientation, turn_upright
from zoo.decoding.transparency import Color, composite

_FIRST_CHUNK, _FLAGS_OFFSET, _CANVAS_OFFSET = 12, 20, 24
_ANIMATED, _HAS_EXIF, _HAS_ALPHA = 0x02, 0x08, 0x10
_EXIF = int.from_bytes(b"EXIF", "little")


def decode_webp(encoded: Any, background: Color) -> Any:
    """Decodes a WebP file.

    Args:
        encoded: string [], the file.
        background: The color behind transparent pixels.

    Returns:
        uint8 RGB [H, W, 3], upright.

    Raises:
        tf.errors.InvalidArgumentError: The file is damaged.
    """
    import tensorflow as tf

    # Files with an alpha channel, several frames or metadata begin with these flags.
    is_extended = tf.equal(take(encoded, _FIRST_CHUNK, 4), b"VP8X")
    flags = tf.cond(
        is_extended, lambda: read_integer(encoded, _FLAGS_OFFSET, 1, big=False), lambda: 0
    )

    def decode_first_frame() -> Any:
        # TensorFlow 2.21 decodes frames with four channels into memory for as many as the
        # flags tell: for three, if none is transparent. Such a file is told to be.
        flag = tf.gather([bytes([f | _HAS_ALPHA]) for f in range(256)], flags)
        told = refuse_unless(
            _count_pixels(encoded) <= MAX_CANVAS_PIXELS,
            replace_bytes(encoded, _FLAGS_OFFSET, flag),
        )
        return tf.io.decode_image(told, channels=4, expand_animations=False)

    image = tf.cond(
        tf.bitwise.bitwise_and(flags, _ANIMATED) > 0,
        decode_first_frame,
        lambda: tf.io.decode_image(encoded, channels=0, expand_animations=False),
    )
    image = tf.ensure_shape(image, (None, None, None))
    image = tf.cond(tf.shape(image)[2] == 4, lambda: composite(image, background), lambda: image)

    def turn() -> Any:
        return turn_upright(image, read_orientation(_read_exif(encoded)))

    return tf.cond(tf.bitwise.bitwise_and(flags, _HAS_EXIF) > 0, turn, lambda: image)


def _count_pixels(encoded: Any) -> Any:
    """Returns the number of pixels of the canvas, int64 []."""
    import tensorflow as tf

    # Width and height less one, three bytes each.
    digits = tf.cast(tf.io.decode_raw(take(encoded, _CANVAS_OFFSET, 6), tf.uint8), tf.int64)
    sides = tf.reduce_sum(tf.reshape(digits, (2, 3)) * [1, 256, 65536], 1) + 1
    return sides[0] * sides[1]


def _read_exif(encoded: Any) -> Any:
    """Returns the EXIF data of a WebP file, string []; empty if there are none."""
    import tensorflow as tf

    end = tf.strings.length(encoded)

    def is_searching(position: Any, found: Any) -> Any:
        return (position + 8 <= end) & tf.equal(found, b"")

    def step(position: Any, found: Any) -> tuple[Any, Any]:
        part = take(encoded, position, 8)
        read = tf.io.decode_raw(part, tf.int32, little_endian=True)
        name, length = read[0], read[1]
        # Chunks fill up to an even number of bytes.
        following = position + 8 + length + length % 2
        is_over = (length < 0) | (following < position)
        found = tf.cond(
            name == _EXIF,
            lambda: take(encoded, position + 8, length),
            lambda: found,
        )
        return tf.where(is_over, end, following), found

    _, exif = tf.while_loop(is_searching, step, (_FIRST_CHUNK, tf.constant(b"")))
    return exif
