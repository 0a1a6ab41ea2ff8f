"""Resampling geometry: where each view pixel reads its image, and how aliasing is prevented.

The sampled matrix, the evaluation crop and the pixel grids of view and image multiply
into one matrix; each pixel is read once, by bilinear interpolation.

Where the view is smaller than the region it shows, the evaluation transform averages
with a triangle kernel as wide as a view pixel. A triangle of half-width s image pixels
has the variance s²/6, and bilinear interpolation contributes 1/6. A smoothing kernel
[a, 1 − 2a, a] before interpolation adds the rest: for s = 2 it gives exactly the
triangle, beyond that a second such kernel follows, and beyond s = 2.65 whole blocks of
pixels are averaged first, so that two to three blocks make one view pixel.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from zoo.preprocessing import Preprocessing

_MIN_SMOOTHING = 0.002
"""Weaker smoothing changes no value by more than one step of 255."""


class Resampling(NamedTuple):
    """How the images of a batch are read.

    Args:
        matrix: float64 [B, 3, 3], from (x, y, 1) of a view pixel to that of the image
            after block averaging; coordinates count pixels from 0 at their centers.
        block: int32 [B, 2], width and height in pixels of the blocks averaged first;
            pixels left over at the right and bottom are dropped.
        smoothing: float64 [B, 2], horizontal and vertical smoothing, 0 (none) to 1/2:
            the sum of the coefficients a of both kernels [a, 1 − 2a, a], the first of
            which is at most 1/4.
    """

    matrix: Any
    block: Any
    smoothing: Any


def compute_resampling(matrix: Any, frames: Any, preprocessing: Preprocessing) -> Resampling:
    """Computes how the images of a batch are read.

    Args:
        matrix: float32 [B, 3, 3], `ViewParameters.matrix`.
        frames: [B, 4], top, left, height and width of each image in its pixels, as of
            `ImageDecoder.decode`.
        preprocessing: The evaluation transform: its crop and the view size S.
    """
    import tensorflow as tf

    view_to_crop, frames = tf.cast(matrix, tf.float64), tf.cast(frames, tf.float64)
    size = float(preprocessing.size)
    top, left, height, width = preprocessing.compute_boxes(frames[:, 2], frames[:, 3])
    top, left = frames[:, 0] + top, frames[:, 1] + left
    sides = tf.stack([width, height], axis=1)
    limit = tf.math.ceil(frames[:, :1:-1])
    # Distance in the image between neighboring view pixels, at the view's center.
    center = view_to_crop[:, :2, 2:] / view_to_crop[:, 2:, 2:]
    slope = view_to_crop[:, :2, :2] - center @ view_to_crop[:, 2:, :2]
    slope = slope / view_to_crop[:, 2:, 2:]
    shrink = tf.linalg.norm(slope, axis=2) * sides / size
    # The smallest block for which smoothing suffices; the margin absorbs rounding errors.
    block = tf.clip_by_value(tf.math.ceil(tf.sqrt((shrink**2 + 0.5) / 7.5) - 1e-3), 1.0, limit)
    missing_variance = (shrink**2 - block**2) / 6 - (block**2 - 1) / 12
    smoothing = tf.clip_by_value(missing_variance / block**2 / 2, 0.0, 0.5)
    crop_to_image = _build_scale_and_offset(
        sides / block, (tf.stack([left, top], 1) + sides / 2) / block - 0.5
    )
    pixel_to_view = _build_scale_and_offset(
        tf.ones_like(sides) / size, (0.5 / size - 0.5) * tf.ones_like(sides)
    )
    return Resampling(
        crop_to_image @ view_to_crop @ pixel_to_view,
        tf.cast(block, tf.int32),
        tf.where(smoothing < _MIN_SMOOTHING, tf.zeros_like(smoothing), smoothing),
    )


def _build_scale_and_offset(scale: Any, offset: Any) -> Any:
    """Builds float64 [B, 3, 3] that scales by [B, 2] and then adds [B, 2]."""
    import tensorflow as tf

    diagonal = tf.concat([scale, tf.ones_like(scale[:, :1])], axis=1)
    corner = tf.concat([offset, tf.zeros_like(offset[:, :1])], axis=1)
    return tf.linalg.diag(diagonal) + tf.pad(corner[:, :, tf.newaxis], [[0, 0], [0, 0], [2, 0]])
