"""PNG files, in the graph: upright, of 1 to 16 bits, on a background."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from zoo.decoding.branching import call_if
from zoo.decoding.byte_strings import read_integer, take
from zoo.decoding.orientation import read_orientation, turn_upright
from zoo.decoding.transparency import Color, composite

_ALPHA_BIT = 4
_DEPTH_OFFSET, _COLOR_TYPE_OFFSET, _FIRST_CHUNK = 24, 25, 33
_TRNS, _EXIF, _IDAT, _IEND = (int.from_bytes(name) for name in (b"tRNS", b"eXIf", b"IDAT", b"IEND"))


def decode_png(encoded: Any, background: Color, depth: int) -> Any:
    """Decodes a PNG file.

    Args:
        encoded: string [], the file.
        background: The color behind transparent pixels.
        depth: How many bits the colors of a file of 16 bits use, 8 to 16.

    Returns:
        uint8 RGB [H, W, 3], upright.

    Raises:
        tf.errors.InvalidArgumentError: The file is damaged.
    """
    import tensorflow as tf

    length, name = tf.unstack(_read_chunk(encoded, _FIRST_CHUNK))
    # Behind the header there is nothing but the pixels, in one chunk.
    is_bare = (name == _IDAT) & (_FIRST_CHUNK + 24 + length == tf.strings.length(encoded))

    def decode_opaque(encoded: Any) -> Any:
        return _decode(encoded, 3, depth)

    def decode_transparent(encoded: Any) -> Any:
        return composite(_decode(encoded, 4, depth), background)

    def decode_any(encoded: Any) -> Any:
        is_keyed, start, size = _find_chunks(encoded)
        has_alpha = _has_alpha(encoded)
        image = call_if(has_alpha | is_keyed, decode_transparent, decode_opaque, encoded)
        exif = take(encoded, start, size)
        return turn_upright(image, read_orientation(exif))

    return call_if(is_bare & ~_has_alpha(encoded), decode_opaque, decode_any, encoded)


def is_bare_png(content: bytes) -> bool:
    """Whether a file of at most 8 bits has nothing but opaque pixels, in one chunk.

    `decode_png` leaves such a file to `tf.io.decode_png` alone.

    Args:
        content: The bytes of the file.
    """
    start = _FIRST_CHUNK
    return (
        content[:4] == b"\x89PNG"
        and content[start + 4 : start + 8] == b"IDAT"
        and start + 24 + int.from_bytes(content[start : start + 4]) == len(content)
        and content[_COLOR_TYPE_OFFSET] < _ALPHA_BIT
        and content[_DEPTH_OFFSET] < 16
    )


def is_plain_png(chunks: Collection[bytes], content: bytes) -> bool:
    """Whether `decode_png` leaves a file of at most 8 bits to `tf.io.decode_png` alone.

    Python can then call that operation, and need not build the decoder's graph.

    Args:
        chunks: The names of its chunks.
        content: The bytes of the file.
    """
    if len(content) < _FIRST_CHUNK:
        return False  # the decoder says what is wrong
    has_alpha = content[_COLOR_TYPE_OFFSET] >= _ALPHA_BIT or b"tRNS" in chunks
    return not has_alpha and content[_DEPTH_OFFSET] < 16 and b"eXIf" not in chunks


def _has_alpha(encoded: Any) -> Any:
    return read_integer(encoded, _COLOR_TYPE_OFFSET, 1, big=True) >= _ALPHA_BIT


def _decode(encoded: Any, channels: int, depth: int) -> Any:
    import tensorflow as tf

    def decode_bytes(encoded: Any) -> Any:
        # Of 16 bits, the decoder itself drops the lower eight.
        return tf.io.decode_png(encoded, channels=channels)

    def decode_words(encoded: Any) -> Any:
        words = tf.io.decode_png(encoded, channels=channels, dtype=tf.uint16)
        shifts = tf.constant([depth - 8] * 3 + [8], tf.uint16)[:channels]
        return tf.saturate_cast(tf.bitwise.right_shift(words, shifts), tf.uint8)

    if depth == 16:
        return decode_bytes(encoded)
    is_deep = read_integer(encoded, _DEPTH_OFFSET, 1, big=True) == 16
    return call_if(is_deep, decode_words, decode_bytes, encoded)


def _find_chunks(encoded: Any) -> tuple[Any, Any, Any]:
    """Finds what a PNG file says about transparency and orientation.

    Returns:
        Whether one color, or colors of the palette, are transparent, bool []; start, int32
        [], −1 without EXIF data, and size of these data.
    """
    import tensorflow as tf

    end = tf.strings.length(encoded)

    def is_before_end(position: Any, is_keyed: Any, start: Any, size: Any) -> Any:
        return position + 8 <= end

    def step(position: Any, is_keyed: Any, start: Any, size: Any) -> tuple[Any, ...]:
        length, name = tf.unstack(_read_chunk(encoded, position))
        following = position + 12 + length
        # Encoders cut the pixels into many chunks of one length and a last one: to that before
        # the last, it is one step.
        many = (end - 24 - position) // tf.maximum(12 + length, 12) - 1
        ahead = position + tf.maximum(many, 0) * (12 + length)
        is_ahead = (name == _IDAT) & (many > 1)
        ahead = tf.where(is_ahead, ahead, position)
        leads_ahead = is_ahead & tf.reduce_all(
            tf.equal(_read_chunk(encoded, ahead), tf.stack([length, name]))
        )
        following = tf.where(leads_ahead, ahead, following)
        # A damaged length leads backwards, or beyond what int32 holds.
        is_over = (name == _IEND) | (length < 0) | (following <= position)
        is_exif = name == _EXIF
        return (
            tf.where(is_over, end, following),
            is_keyed | (name == _TRNS),
            tf.where(is_exif, position + 8, start),
            tf.where(is_exif, length, size),
        )

    _, is_keyed, start, size = tf.while_loop(is_before_end, step, (_FIRST_CHUNK, False, -1, 0))
    return is_keyed, start, size


def _read_chunk(encoded: Any, position: Any) -> Any:
    """Reads a chunk's length and name, int32 [2]."""
    import tensorflow as tf

    part = take(encoded, position, 8)
    return tf.ensure_shape(tf.io.decode_raw(part, tf.int32, little_endian=False), (2,))
