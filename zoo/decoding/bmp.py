"""BMP files, in the graph, on a background where they have an alpha channel."""

from __future__ import annotations

from typing import Any

from zoo.decoding.byte_strings import read_integer, refuse_unless, take
from zoo.decoding.transparency import Color, composite

_PIXELS, _HEADER, _BITS, _COMPRESSION, _MASKS = 10, 14, 28, 30, 54
_PLAIN, _BIT_FIELDS = 0, 3
_ALPHA_HEADER_BYTES = 56
"""Size of the smallest header that has a mask for alpha."""


def decode_bmp(encoded: Any, background: Color) -> Any:
    """Decodes a BMP file of 8, 24 or 32 bits a pixel.

    Args:
        encoded: string [], the file.
        background: The color behind transparent pixels.

    Returns:
        uint8 RGB [H, W, 3].

    Raises:
        tf.errors.InvalidArgumentError: The file is damaged, compressed, or of another kind.
    """
    import tensorflow as tf

    bits = read_integer(encoded, _BITS, 2, big=False)
    compression = read_integer(encoded, _COMPRESSION, 4, big=False)
    is_readable = (compression == _PLAIN) | ((compression == _BIT_FIELDS) & (bits == 32))
    # The decoder would misread the others.
    encoded = refuse_unless(is_readable, encoded)

    def decode_wide() -> Any:
        # By the bytes of each pixel as blue, green, red and alpha.
        pixels = tf.io.decode_bmp(encoded, channels=4)
        opaque = tf.fill(tf.shape(pixels[..., :1]), tf.constant(255, tf.uint8))
        with_opaque = tf.concat([pixels, opaque], -1)
        masked = tf.cond(
            compression == _BIT_FIELDS,
            lambda: _order_channels(encoded),
            lambda: tf.constant([0, 1, 2, 4]),
        )
        return composite(tf.gather(with_opaque, masked, axis=-1), background)

    def decode_indices() -> Any:
        # The decoder takes them for shades of gray.
        indices = tf.cast(tf.io.decode_bmp(encoded, channels=3)[..., 0], tf.int32)
        return tf.gather(_read_palette(encoded), indices)

    image = tf.switch_case(
        tf.searchsorted([9, 25, 33], [bits], side="right")[0],
        [decode_indices, lambda: tf.io.decode_bmp(encoded, channels=3), decode_wide],
    )
    return tf.ensure_shape(image, (None, None, 3))


def _read_palette(encoded: Any) -> Any:
    """Reads the palette of a file of 8 bits a pixel, uint8 [256, 3]; grays if it has none."""
    import tensorflow as tf

    start = _HEADER + read_integer(encoded, _HEADER, 4, big=False)
    size = read_integer(encoded, _PIXELS, 4, big=False) - start
    count = tf.clip_by_value(size // 4, 0, 256)
    raw = tf.io.decode_raw(take(encoded, start, 4 * count), tf.uint8)
    # Blue, green, red and a byte that is reserved.
    colors = tf.reshape(raw, (-1, 4))[:, 2::-1]
    grays = tf.repeat(tf.cast(tf.range(256), tf.uint8)[:, tf.newaxis], 3, axis=1)
    return tf.concat([colors, grays[count:]], 0)


def _order_channels(encoded: Any) -> Any:
    """Reads where red, green, blue and alpha are among the decoder's channels.

    Returns:
        int32 [4], 0 to 3, or 4 for none.
    """
    import tensorflow as tf

    has_alpha = read_integer(encoded, _HEADER, 4, big=False) >= _ALPHA_HEADER_BYTES
    masks = tf.io.decode_raw(take(encoded, _MASKS, 16), tf.int32)
    # A mask covers one byte; the decoder returns the bytes in the order 2, 1, 0, 3.
    places = [0xFF0000, 0xFF00, 0xFF, -0x1000000]
    known = tf.cast(masks[:, tf.newaxis] == places, tf.int32)
    order = tf.where(tf.reduce_any(known > 0, 1), tf.argmax(known, 1, tf.int32), 4)
    order = tf.cond(has_alpha, lambda: order, lambda: tf.concat([order[:3], [4]], 0))
    # Without any mask, the order is the usual one.
    return tf.cond(tf.reduce_all(masks == 0), lambda: tf.constant([0, 1, 2, 3]), lambda: order)
