"""Numbers and parts of byte strings, in the graph."""

from __future__ import annotations

from typing import Any

MAX_CANVAS_PIXELS = 2**27
"""Pixels of the largest canvas that is decoded: TensorFlow's limit for PNG files, 2²⁹ bytes of
RGBA. A few bytes of a GIF or WebP file can ask for many more."""


def refuse_unless(condition: Any, text: Any) -> Any:
    """Returns a text if a condition holds; else none, which every decoder refuses.

    Args:
        condition: bool [].
        text: string [].
    """
    import tensorflow as tf

    return tf.where(condition, text, b"")


def take(text: Any, offset: Any, size: Any) -> Any:
    """Returns a part of a text; less of it, or nothing, where the text ends before.

    `tf.strings.substr` refuses such an offset, with a message that holds the text: bytes that
    are no Unicode, on which Python fails with an error of its own.

    Args:
        text: string [].
        offset: int32 [], where the part starts, in bytes.
        size: int32 [], its bytes.

    Returns:
        string [].
    """
    import tensorflow as tf

    start = tf.clip_by_value(offset, 0, tf.strings.length(text))
    return tf.strings.substr(text, start, size)


def read_integer(text: Any, offset: Any, width: int, *, big: bool) -> Any:
    """Reads an integer.

    Args:
        text: string [].
        offset: int32 [], where it starts, in bytes.
        width: Its bytes: 1, 2 or 4; one of 4 bytes is signed.
        big: Whether its first byte is the most significant one.

    Returns:
        int32 [].

    Raises:
        tf.errors.InvalidArgumentError: The text ends before it.
    """
    import tensorflow as tf

    kind = {1: tf.uint8, 2: tf.uint16, 4: tf.int32}[width]
    part = take(text, offset, width)
    return tf.cast(tf.io.decode_raw(part, kind, little_endian=not big)[0], tf.int32)


def replace_bytes(text: Any, offset: Any, new: Any) -> Any:
    """Returns a text with other bytes from an offset on.

    Args:
        text: string [].
        offset: int32 [], where the new bytes go.
        new: string [], no longer than the text after the offset.

    Returns:
        string [], as long as before.
    """
    import tensorflow as tf

    rest = offset + tf.strings.length(new)
    size = tf.strings.length(text)
    parts = [take(text, 0, offset), new, take(text, rest, size)]
    return tf.strings.join(parts)
