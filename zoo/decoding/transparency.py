"""Transparent images on a background of one color, in the graph."""

from __future__ import annotations

from typing import Any

Color = tuple[int, int, int]
"""Red, green and blue, 0 to 255 each."""


def parse_color(text: str) -> Color:
    """Reads a color.

    Args:
        text: `#rrggbb`, hexadecimal.

    Example:
        >>> parse_color("#ff8000")
        (255, 128, 0)
    """
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue


def composite(image: Any, background: Color) -> Any:
    """Lays an image over a background.

    Args:
        image: uint8 [H, W, 4], the last channel alpha: 0 shows the background alone, 255
            the image alone.
        background: The color behind it.

    Returns:
        uint8 [H, W, 3], rounded to the nearest integer.
    """
    import tensorflow as tf

    # Every sum is at most 255 × 255 + 128 + 254, which uint16 holds.
    pixels = tf.cast(image, tf.uint16)
    alpha = pixels[..., 3:]
    behind = tf.constant(background, tf.uint16) * (tf.constant(255, tf.uint16) - alpha)
    total = pixels[..., :3] * alpha + behind + tf.constant(128, tf.uint16)
    eight = tf.constant(8, tf.uint16)
    # Rounded division by 255.
    shifted = tf.bitwise.right_shift(total, eight)
    return tf.cast(tf.bitwise.right_shift(total + shifted, eight), tf.uint8)
