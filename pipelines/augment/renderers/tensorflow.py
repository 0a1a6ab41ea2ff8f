"""TensorFlow renderer: runs on accelerators and under XLA.

It renders dense batches and matches the OpenCV renderer to within rounding. Every shape
is static if the batch's is. Without an accelerator it is many times slower.
"""

from __future__ import annotations

from typing import Any

from pipelines.augment.base import ColorOperation, FilterOperation, GeometryOperation
from pipelines.augment.plan import AugmentationPlan, ViewParameters
from pipelines.augment.renderers.resampling import compute_resampling
from pipelines.augment.renderers.tensorflow_filters import (
    build_kernel,
    build_rectangle_mask,
    to_bytes,
)
from zoo.decoding.image_decoder import whole_frame
from zoo.preprocessing import Preprocessing


class TensorFlowRenderer:
    """Renders batches with TensorFlow operations.

    Args:
        plan: The policy.
        preprocessing: The evaluation transform, with the view size S.
        border: Pixels beyond the image: `reflect`, `edge` or `black`.
    """

    def __init__(self, plan: AugmentationPlan, preprocessing: Preprocessing, border: str) -> None:
        self.preprocessing = preprocessing
        self.border = border
        self.has_geometry = bool(plan.select(GeometryOperation))
        self.has_color = bool(plan.select(ColorOperation))
        self.kernels = [build_kernel(op) for op in plan.select(FilterOperation)]

    def render(self, images: Any, views: ViewParameters, frames: Any = None) -> Any:
        """Renders one view each of a batch of images of one size, in the graph or eagerly.

        Args:
            images: uint8 [B, H, W, 3]; where the policy has no geometry, [B, S, S, 3]
                from the evaluation transform.
            views: The sampled views.
            frames: float32 [B, 4], as of `ImageDecoder.decode`; None takes all pixels.

        Returns:
            uint8 [B, S, S, 3].
        """
        import tensorflow as tf

        if self.has_geometry:
            if frames is None:
                frames = tf.broadcast_to(whole_frame(images[0]), [tf.shape(images)[0], 4])
            images = self._warp(images, views.matrix, frames)
        if self.has_color:
            matrix, offset = views.color[:, tf.newaxis, :, :3], views.color[:, :, 3]
            # [B, S, S, 3] by [B, 1, 3, 3]
            recolored = tf.matmul(tf.cast(images, tf.float32), matrix, transpose_b=True)
            images = to_bytes(recolored + offset[:, tf.newaxis, tf.newaxis])
        for kernel, arguments in zip(self.kernels, views.filters, strict=True):
            applied = tf.reduce_any(arguments != 0, axis=1, keepdims=True)
            images = tf.where(*_columns(applied), kernel(images, *_columns(arguments)), images)
        size = self.preprocessing.size
        return tf.ensure_shape(images, (None, size, size, 3))

    def render_one(self, image: Any, views: ViewParameters, frame: Any = None) -> Any:
        """Renders several views of one image, in the graph or eagerly.

        Args:
            image: uint8 [H, W, 3]; where the policy has no geometry, [S, S, 3] from the
                evaluation transform.
            views: V sampled views.
            frame: As of `ImageDecoder.decode`; None takes all pixels for the image.

        Returns:
            uint8 [V, S, S, 3].
        """
        import tensorflow as tf

        count = tf.shape(views.color)[:1]
        images = tf.broadcast_to(image, tf.concat([count, tf.shape(image)], axis=0))
        frames = None if frame is None else tf.broadcast_to(frame, tf.concat([count, [4]], axis=0))
        return self.render(images, views, frames)

    def mix(self, images: Any, arguments: Any) -> Any:
        """Mixes each image with the next one of its batch.

        Args:
            images: uint8 [B, S, S, 3].
            arguments: float32 [B, 5], an entry of `ViewParameters.mixing`.

        Returns:
            uint8 [B, S, S, 3].
        """
        import tensorflow as tf

        partners = tf.roll(images, -1, axis=0)
        fraction, *rectangle = _columns(arguments)
        own, other = tf.cast(images, tf.float32), tf.cast(partners, tf.float32)
        blended = to_bytes(own * (1.0 - fraction) + other * fraction)
        return tf.where(
            build_rectangle_mask(self.preprocessing.size, *rectangle), partners, blended
        )

    def _warp(self, images: Any, matrix: Any, frames: Any) -> Any:
        import tensorflow as tf

        shape = tf.shape(images)
        resampling = compute_resampling(matrix, frames, self.preprocessing)
        block_width, block_height = resampling.block[:, 0], resampling.block[:, 1]
        columns, rows = shape[2] // block_width, shape[1] // block_height
        sums = _block_sums(tf.cast(images, tf.float32), block_width, 2)
        sums = _block_sums(sums, block_height, 1)
        block_area = tf.cast(block_width * block_height, tf.float32)
        pixels = tf.round(sums / _columns(block_area[:, tf.newaxis])[0])
        first = tf.cast(tf.minimum(resampling.smoothing, 0.25), tf.float32)
        for smoothing in (first, tf.cast(resampling.smoothing, tf.float32) - first):
            pixels = _smooth(pixels, smoothing[:, :1], columns, axis=2)
            pixels = _smooth(pixels, smoothing[:, 1:], rows, axis=1)
        pixels = tf.round(pixels)
        size = self.preprocessing.size
        grid = tf.cast(tf.range(size), tf.float64)
        y, x = tf.meshgrid(grid, grid, indexing="ij")
        points = tf.reshape(tf.stack([x, y, tf.ones_like(x)]), (3, -1))
        projected = resampling.matrix @ points  # [B, 3, S × S]
        x, y = (projected[:, i] / projected[:, 2] for i in range(2))
        return self._interpolate(pixels, x, y, columns, rows)

    def _interpolate(self, images: Any, x: Any, y: Any, columns: Any, rows: Any) -> Any:
        """Interpolates bilinearly.

        Args:
            images: float32 [B, H, W, 3].
            x: float64 [B, S × S], positions in pixels.
            y: float64 [B, S × S], positions in pixels.
            columns: int32 [B], how many columns of W belong to each image.
            rows: int32 [B], how many rows of H belong to each image.

        Returns:
            uint8 [B, S, S, 3].
        """
        import tensorflow as tf

        left, top = tf.floor(x), tf.floor(y)
        right_weight, bottom_weight = (
            tf.cast(p, tf.float32)[..., tf.newaxis] for p in (x - left, y - top)
        )
        total = 0.0
        for dy in (0, 1):
            for dx in (0, 1):
                column = tf.cast(left, tf.int32) + dx
                row = tf.cast(top, tf.int32) + dy
                x_weight = right_weight if dx else 1.0 - right_weight
                y_weight = bottom_weight if dy else 1.0 - bottom_weight
                weight = x_weight * y_weight
                if self.border == "black":
                    inside = (column >= 0) & (column < columns[:, tf.newaxis])
                    inside &= (row >= 0) & (row < rows[:, tf.newaxis])
                    weight *= tf.cast(inside, tf.float32)[..., tf.newaxis]
                index = _wrap(row, rows, self.border) * tf.shape(images)[2]
                index += _wrap(column, columns, self.border)
                flat = tf.reshape(images, (tf.shape(images)[0], -1, 3))
                total += weight * tf.gather(flat, index, batch_dims=1)
        size = self.preprocessing.size
        return to_bytes(tf.reshape(total, (-1, size, size, 3)))


def _wrap(index: Any, count: Any, border: str) -> Any:
    """Maps indices [B, n] beyond an image into it, 0 to count − 1, by its border."""
    import tensorflow as tf

    last = (count - 1)[:, tf.newaxis]
    if border == "reflect":
        period = tf.maximum(2 * last, 1)
        index = tf.math.floormod(index, period)
        index = tf.minimum(index, 2 * last - index)
    return tf.clip_by_value(index, 0, last)


def _block_sums(images: Any, block: Any, axis: int) -> Any:
    """Sums blocks along an axis as differences of cumulative sums; the rest is padding."""
    import tensorflow as tf

    count = tf.shape(images)[axis]
    sums = tf.cumsum(images, axis=axis)
    sums = tf.concat([tf.zeros_like(tf.gather(sums, [0], axis=axis)), sums], axis=axis)
    ends = tf.minimum(tf.range(count + 1)[tf.newaxis] * block[:, tf.newaxis], count)
    high = tf.gather(sums, ends[:, 1:], axis=axis, batch_dims=1)
    return high - tf.gather(sums, ends[:, :-1], axis=axis, batch_dims=1)


def _smooth(images: Any, smoothing: Any, count: Any, axis: int) -> Any:
    """Convolves the first `count` [B] pixels along an axis with [a, 1 − 2a, a]; a is [B, 1]."""
    import tensorflow as tf

    shape = tf.shape(images)
    positions = tf.broadcast_to(tf.range(shape[axis]), shape[::axis][:2])
    before, after = (
        tf.gather(images, _wrap(positions + step, count, "reflect"), axis=axis, batch_dims=1)
        for step in (-1, 1)
    )
    (a,) = _columns(smoothing)
    return images * (1.0 - 2.0 * a) + (before + after) * a


def _columns(arguments: Any) -> list[Any]:
    """Splits [B, k] into k tensors [B, 1, 1, 1]."""
    import tensorflow as tf

    return [c[:, tf.newaxis, tf.newaxis, tf.newaxis] for c in tf.unstack(arguments, axis=1)]
