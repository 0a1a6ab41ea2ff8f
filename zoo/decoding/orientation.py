"""EXIF orientation: the tag of a camera that was held sideways, read and applied in the graph.

The Exif standard (CIPA DC-008, section 4.6.4) keeps it in the first directory of a TIFF file
within the image file.
"""

from __future__ import annotations

from typing import Any

from zoo.decoding.branching import call_if
from zoo.decoding.byte_strings import take

_ORIENTATION = 0x0112
_ENTRY_BYTES = 12
# Types of a directory's entry.
_SHORT, _LONG, _SIGNED_SHORT, _SIGNED_LONG = 3, 4, 8, 9


def read_orientation(exif: Any) -> Any:
    """Reads the orientation from EXIF data.

    Args:
        exif: string [], a TIFF file; its prefix `Exif` and two zeros may be left.

    Returns:
        int32 [], 1 to 8: 1 for an upright image, and for one without a readable tag.
    """
    import tensorflow as tf

    is_prefixed = tf.equal(take(exif, 0, 6), b"Exif\x00\x00")
    exif = take(exif, tf.where(is_prefixed, 6, 0), tf.strings.length(exif))
    raw = tf.cast(tf.io.decode_raw(exif, tf.uint8), tf.int32)
    order = take(exif, 0, 2)
    little = tf.equal(order, b"II")
    is_tiff = little | tf.equal(order, b"MM")
    # As many zeros as the header has bytes, so that a file that is cut off has no entries.
    raw = tf.pad(raw, [[0, 8]])

    def read(digits: Any, width: int) -> Any:
        """Reads integers from bytes, int32 [..., width], in the file's byte order."""
        places = [256**place for place in range(width)]
        return tf.reduce_sum(digits * tf.where(little, places, places[::-1]), -1)

    start = tf.clip_by_value(read(raw[4:8], 4), 0, tf.size(raw) - 2)
    count = read(raw[start : start + 2], 2)
    count = tf.minimum(count, (tf.size(raw) - start - 2) // _ENTRY_BYTES)
    entries = tf.reshape(raw[start + 2 : start + 2 + count * _ENTRY_BYTES], (-1, _ENTRY_BYTES))
    kind, number = read(entries[:, 2:4], 2), read(entries[:, 8:12], 4)
    number = tf.where((kind == _SHORT) | (kind == _SIGNED_SHORT), read(entries[:, 8:10], 2), number)
    is_number = (
        (kind == _LONG) | (kind == _SIGNED_LONG) | (kind == _SHORT) | (kind == _SIGNED_SHORT)
    )
    is_tag = is_number & (read(entries[:, :2], 2) == _ORIENTATION)
    last = tf.concat([[1], tf.boolean_mask(number, is_tag)], 0)[-1]
    return tf.where(is_tiff & (last >= 1) & (last <= 8), last, 1)


def turn_upright(image: Any, orientation: Any) -> Any:
    """Turns and mirrors an image as its orientation asks for.

    Args:
        image: uint8 [H, W, 3].
        orientation: int32 [], 1 to 8.

    Returns:
        uint8 [H, W, 3], or [W, H, 3] for 5 to 8; the same tensor for 1.
    """
    import tensorflow as tf

    def turn(image: Any, orientation: Any) -> Any:
        # 5 to 8 are 1, 4, 2 and 3 of the transposed image.
        turned = tf.cond(orientation > 4, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
        return tf.raw_ops.Reverse(tensor=turned, dims=tf.stack([*_flips(orientation), False]))

    return call_if(orientation > 1, turn, lambda image, orientation: image, image, orientation)


def turn_frame(frame: Any, shape: Any, orientation: Any) -> Any:
    """Turns the frame of an image as `turn_upright` turns its pixels.

    Args:
        frame: float32 [4]: top, left, height and width, in pixels.
        shape: [2], height and width of the image that is turned already.
        orientation: int32 [], 1 to 8.

    Returns:
        float32 [4].
    """
    import tensorflow as tf

    turned = tf.where(orientation > 4, tf.gather(frame, (1, 0, 3, 2)), frame)
    start, size = turned[:2], turned[2:]
    mirrored = tf.cast(shape, tf.float32) - start - size
    return tf.concat([tf.where(_flips(orientation), mirrored, start), size], 0)


def _flips(orientation: Any) -> list[Any]:
    """Returns whether the rows, and the columns, of the image are reversed, bool []."""
    import tensorflow as tf

    return [tf.reduce_any(orientation == axis) for axis in ((3, 4, 7, 8), (2, 3, 6, 7))]
