"""Resampling: where each pixel of a view lies in its image, and how it is kept from aliasing.

The matrix of what was drawn, the box that validation shows and the pixels of both
grids multiply into one matrix; pixels are read once, by bilinear interpolation.

Where the view is smaller than what it shows, validation averages by a triangle as wide
as a pixel of the view. A triangle of half-width s, in pixels of the image, has the
variance s²/6, of which interpolation brings 1/6. What is missing is made up for
beforehand: by the kernel [a, 1 − 2a, a], at s = 2 to the very triangle; beyond, by a
second one; and beyond s = 2.65 by averaging whole blocks of pixels first, so that two
to three of them make a pixel of the view. So the image is still read once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from zoo.preprocessing import Preprocessing

_NEGLIGIBLE = 0.002
"""Softening below this changes no value by more than one step of 255."""


class Resampling(NamedTuple):
    """How a batch of images is read.

    Args:
        matrix: float64 [B, 3, 3], from (x, y, 1) of a pixel of the view to that of the
            image, after blocks were averaged; pixels are counted from 0 at their centers.
        block: int32 [B, 2], width and height in pixels of the blocks that are averaged
            first; those left over at the right and below are dropped.
        soften: float64 [B, 2], across and down the sum, up to 1/2, of the a of both
            kernels [a, 1 − 2a, a]; the first one's is at most 1/4. 0 is none.
    """

    matrix: Any
    block: Any
    soften: Any


def resample(matrix: Any, shapes: Any, preprocessing: Preprocessing) -> Resampling:
    """Works out how images are read.

    Args:
        matrix: float32 [B, 3, 3] of `Views`.
        shapes: int [B, 2], height and width of each image in pixels.
        preprocessing: What validation shows of it, and S.
    """
    import tensorflow as tf

    drawn, shapes = tf.cast(matrix, tf.float64), tf.cast(shapes, tf.float64)
    size = float(preprocessing.size)
    top, left, height, width = preprocessing.compute_boxes(shapes[:, 0], shapes[:, 1])
    sides = tf.stack([width, height], axis=1)
    limit = shapes[:, ::-1]
    # How far apart in the image two neighbors of the view lie, at its center.
    center = drawn[:, :2, 2:] / drawn[:, 2:, 2:]
    slope = (drawn[:, :2, :2] - center @ drawn[:, 2:, :2]) / drawn[:, 2:, 2:]
    shrink = tf.linalg.norm(slope, axis=2) * sides / size
    # The smallest for which `soften` is enough; rounding must not decide at whole numbers.
    block = tf.clip_by_value(tf.math.ceil(tf.sqrt((shrink**2 + 0.5) / 7.5) - 1e-3), 1.0, limit)
    missing = (shrink**2 - block**2) / 6 - (block**2 - 1) / 12
    soften = tf.clip_by_value(missing / block**2 / 2, 0.0, 0.5)
    to_image = _scale_and_move(sides / block, (tf.stack([left, top], 1) + sides / 2) / block - 0.5)
    from_pixel = _scale_and_move(
        tf.ones_like(sides) / size, (0.5 / size - 0.5) * tf.ones_like(sides)
    )
    return Resampling(
        to_image @ drawn @ from_pixel,
        tf.cast(block, tf.int32),
        tf.where(soften < _NEGLIGIBLE, tf.zeros_like(soften), soften),
    )


def _scale_and_move(scale: Any, offset: Any) -> Any:
    """Stacks [B, 2] and [B, 2] to float64 [B, 3, 3]."""
    import tensorflow as tf

    diagonal = tf.concat([scale, tf.ones_like(scale[:, :1])], axis=1)
    corner = tf.concat([offset, tf.zeros_like(offset[:, :1])], axis=1)
    return tf.linalg.diag(diagonal) + tf.pad(corner[:, :, tf.newaxis], [[0, 0], [0, 0], [2, 0]])
