"""GIF files, in the graph: their first frame, at its place on the canvas, on a background."""

from __future__ import annotations

from typing import Any, NamedTuple

from zoo.decoding.byte_strings import (
    MAX_CANVAS_PIXELS,
    read_integer,
    refuse_unless,
    replace_bytes,
    take,
)
from zoo.decoding.transparency import Color

_EXTENSION, _IMAGE, _GRAPHIC_CONTROL = 0x21, 0x2C, 0xF9
_CANVAS_OFFSET, _FLAGS_OFFSET, _GLOBAL_PALETTE = 6, 10, 13
_DESCRIPTOR_BYTES, _CONTROL_FLAGS_OFFSET = 10, 3


class _Frame(NamedTuple):
    """The first frame of a GIF file.

    Args:
        position: int32 [], of its descriptor in the file; 0 if there is none.
        control: int32 [], of the extension that names a transparent color; 0 without one.
        transparent: int32 [], the index of that color, −1 without one.
    """

    position: Any
    control: Any
    transparent: Any


def decode_gif(encoded: Any, background: Color) -> Any:
    """Decodes the first frame of a GIF file.

    Args:
        encoded: string [], the file.
        background: The color behind transparent pixels.

    Returns:
        uint8 RGB [H, W, 3], the whole canvas. Around a smaller frame it is transparent, or of
        the palette's first color where no color is transparent.

    Raises:
        tf.errors.InvalidArgumentError: The file is damaged.
    """
    import tensorflow as tf

    frame = _find_frame(encoded)
    left, top, width, height = _read_shorts(encoded, frame.position + 1, 4)
    canvas_width, canvas_height = _read_shorts(encoded, _CANVAS_OFFSET, 2)
    rows, columns = tf.maximum(canvas_height, top + height), tf.maximum(canvas_width, left + width)
    is_plain = (frame.transparent < 0) & (rows == height) & (columns == width)
    num_pixels = tf.cast(rows, tf.int64) * tf.cast(columns, tf.int64)

    def place() -> Any:
        # The decoder takes a frame for the canvas: in the canvas' corner, it is whole.
        cornered = replace_bytes(encoded, frame.position + 1, b"\0\0\0\0")
        cornered = refuse_unless(num_pixels <= MAX_CANVAS_PIXELS, cornered)
        palette, count = _find_palette(encoded, frame)
        behind = tf.constant(background, tf.uint8)
        first = tf.io.decode_raw(take(encoded, palette, 3), tf.uint8)
        around = tf.where(frame.transparent < 0, first, behind)
        is_transparent = _find_transparent(cornered, frame, palette, count)
        image = tf.where(is_transparent, behind, _decode_frame(cornered))
        margins = [[top, rows - top - height], [left, columns - left - width], [0, 0]]
        # Padded with zeros that stand for the color around: uint8 wraps around.
        return tf.pad(image - around, margins) + around

    return tf.cond(is_plain, lambda: _decode_frame(encoded), place)


def _decode_frame(encoded: Any) -> Any:
    import tensorflow as tf

    return tf.io.decode_image(encoded, channels=3, expand_animations=False)


def _read_shorts(encoded: Any, offset: Any, count: int) -> list[Any]:
    return [read_integer(encoded, offset + 2 * i, 2, big=False) for i in range(count)]


def _count_colors(flags: Any) -> Any:
    """Returns the number of a palette's colors; 0 where the flags tell of none."""
    import tensorflow as tf

    count = tf.bitwise.left_shift(2, tf.bitwise.bitwise_and(flags, 7))
    return tf.where(flags >= 128, count, 0)


def _find_frame(encoded: Any) -> _Frame:
    """Finds the first frame behind the extensions before it."""
    import tensorflow as tf

    end = tf.strings.length(encoded)
    flags = read_integer(encoded, _FLAGS_OFFSET, 1, big=False)
    start = _GLOBAL_PALETTE + 3 * _count_colors(flags)

    def is_searching(position: Any, control: Any, transparent: Any, found: Any) -> Any:
        return (found == 0) & (position + _DESCRIPTOR_BYTES <= end)

    def step(position: Any, control: Any, transparent: Any, found: Any) -> tuple[Any, ...]:
        raw = take(encoded, position, 8)
        read = tf.cast(tf.io.decode_raw(raw, tf.uint8), tf.int32)
        is_control = (read[0] == _EXTENSION) & (read[1] == _GRAPHIC_CONTROL)
        is_keyed = is_control & (read[3] % 2 == 1)
        following = tf.cond(
            read[0] == _EXTENSION,
            lambda: _skip_blocks(encoded, position + 2),
            lambda: position + 1,
        )
        return (
            following,
            tf.where(is_keyed, position, control),
            tf.where(is_keyed, read[6], transparent),
            tf.where(read[0] == _IMAGE, position, 0),
        )

    _, control, transparent, found = tf.while_loop(is_searching, step, (start, 0, -1, 0))
    return _Frame(found, control, transparent)


def _skip_blocks(encoded: Any, position: Any) -> Any:
    """Returns the position after a sequence of blocks, each led by its size; 0 ends it."""
    import tensorflow as tf

    end = tf.strings.length(encoded)

    def step(position: Any, size: Any) -> tuple[Any, Any]:
        size = read_integer(encoded, position, 1, big=False)
        return position + 1 + size, size

    position, _ = tf.while_loop(lambda p, size: (size > 0) & (p < end), step, (position, 1))
    return position


def _find_palette(encoded: Any, frame: _Frame) -> tuple[Any, Any]:
    """Returns the position and the number of colors of the palette of a frame."""
    import tensorflow as tf

    own = _count_colors(read_integer(encoded, frame.position + 9, 1, big=False))
    shared = _count_colors(read_integer(encoded, _FLAGS_OFFSET, 1, big=False))
    position = tf.where(own > 0, frame.position + _DESCRIPTOR_BYTES, _GLOBAL_PALETTE)
    return position, tf.where(own > 0, own, shared)


def _find_transparent(encoded: Any, frame: _Frame, palette: Any, count: Any) -> Any:
    """Decodes where a frame is transparent, bool [H, W, 1].

    By the same file with another palette: white for the transparent color, which is no longer
    transparent, and black for the others.
    """
    import tensorflow as tf

    def decode() -> Any:
        is_white = tf.equal(tf.range(count), frame.transparent)
        tones = tf.gather([b"\0\0\0", b"\xff\xff\xff"], tf.cast(is_white, tf.int32))
        masked = replace_bytes(encoded, palette, tf.strings.reduce_join(tones))
        masked = replace_bytes(masked, frame.control + _CONTROL_FLAGS_OFFSET, b"\0")
        return _decode_frame(masked)[..., :1] > 0

    return tf.cond(frame.transparent < 0, lambda: tf.zeros((1, 1, 1), tf.bool), decode)
