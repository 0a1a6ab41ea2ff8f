"""The renderer in TensorFlow's operations alone: it runs on accelerators and under XLA.

It draws what `render_opencv.py` draws, to within rounding, from dense batches; every
shape is static if the batch's is. Without an accelerator it is many times slower.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from pipelines.augment.color import Color
from pipelines.augment.filters import (
    BILATERAL_WIDTH,
    FILLS,
    BilateralBlur,
    Erase,
    GaussianBlur,
    GaussianNoise,
    MedianBlur,
    Pixels,
)
from pipelines.augment.geometry import Geometry
from pipelines.augment.noise_bank import noise_bank
from pipelines.augment.plan import Plan, Views
from pipelines.augment.renderers.resampling import resample
from zoo.preprocessing import Preprocessing


class TensorFlowRenderer:
    """Draws batches by TensorFlow's operations.

    Args:
        plan: The policy.
        preprocessing: What validation shows, and the size S of a view.
        border: What comes into view from beyond the image: `reflect`, `edge` or `black`.
    """

    def __init__(self, plan: Plan, preprocessing: Preprocessing, border: str) -> None:
        self.preprocessing = preprocessing
        self.border = border
        self.moves, self.colors = bool(plan.of(Geometry)), bool(plan.of(Color))
        self.kernels = [_kernel(op) for op in plan.of(Pixels)]

    def render(self, images: Any, views: Views) -> Any:
        """Draws views of a batch of images of one size, in the graph or eagerly.

        Args:
            images: uint8 [B, H, W, 3]; [B, S, S, 3], fitted, where nothing moves pixels.
            views: What was drawn.

        Returns:
            uint8 [B, S, S, 3].
        """
        import tensorflow as tf

        if self.moves:
            images = self._warp(images, views.matrix)
        if self.colors:
            matrix, offset = views.color[:, tf.newaxis, :, :3], views.color[:, :, 3]
            # [B, S, S, 3] by [B, 1, 3, 3]
            turned = tf.matmul(tf.cast(images, tf.float32), matrix, transpose_b=True)
            images = _to_bytes(turned + offset[:, tf.newaxis, tf.newaxis])
        for kernel, parameters in zip(self.kernels, views.pixels, strict=True):
            changed = tf.reduce_any(parameters != 0, axis=1, keepdims=True)
            images = tf.where(*_columns(changed), kernel(images, *_columns(parameters)), images)
        size = self.preprocessing.size
        return tf.ensure_shape(images, (None, size, size, 3))

    def render_one(self, image: Any, views: Views) -> Any:
        """Draws several views of one image, in the graph or eagerly.

        Args:
            image: uint8 [H, W, 3]; [S, S, 3], fitted, where nothing moves pixels.
            views: V of them.

        Returns:
            uint8 [V, S, S, 3].
        """
        import tensorflow as tf

        shape = tf.concat([tf.shape(views.color)[:1], tf.shape(image)], axis=0)
        return self.render(tf.broadcast_to(image, shape), views)

    def mix(self, images: Any, parameters: Any) -> Any:
        """Blends each image with the next one of its batch.

        Args:
            images: uint8 [B, S, S, 3].
            parameters: float32 [B, 5], as `Labels.parameters` gives them.

        Returns:
            uint8 [B, S, S, 3].
        """
        import tensorflow as tf

        partners = tf.roll(images, -1, axis=0)
        share, *box = _columns(parameters)
        own, other = tf.cast(images, tf.float32), tf.cast(partners, tf.float32)
        blended = _to_bytes(own * (1.0 - share) + other * share)
        return tf.where(_inside(self.preprocessing.size, *box), partners, blended)

    def _warp(self, images: Any, matrix: Any) -> Any:
        import tensorflow as tf

        shape = tf.shape(images)
        shapes = tf.broadcast_to(shape[1:3], [shape[0], 2])
        placed = resample(matrix, shapes, self.preprocessing)
        across, down = placed.block[:, 0], placed.block[:, 1]
        columns, rows = shape[2] // across, shape[1] // down
        sums = _block_sums(_block_sums(tf.cast(images, tf.float32), across, 2), down, 1)
        pixels = tf.round(sums / _columns(tf.cast(across * down, tf.float32)[:, tf.newaxis])[0])
        first = tf.cast(tf.minimum(placed.soften, 0.25), tf.float32)
        for soften in (first, tf.cast(placed.soften, tf.float32) - first):
            pixels = _soften(pixels, soften[:, :1], columns, axis=2)
            pixels = _soften(pixels, soften[:, 1:], rows, axis=1)
        pixels = tf.round(pixels)
        size = self.preprocessing.size
        grid = tf.cast(tf.range(size), tf.float64)
        y, x = tf.meshgrid(grid, grid, indexing="ij")
        points = tf.reshape(tf.stack([x, y, tf.ones_like(x)]), (3, -1))
        seen = placed.matrix @ points  # [B, 3, S × S]
        x, y = (seen[:, i] / seen[:, 2] for i in range(2))
        return self._read(pixels, x, y, columns, rows)

    def _read(self, images: Any, x: Any, y: Any, columns: Any, rows: Any) -> Any:
        """Interpolates images [B, H, W, 3] at points [B, S × S]; only so many are theirs."""
        import tensorflow as tf

        left, top = tf.floor(x), tf.floor(y)
        part_x, part_y = (tf.cast(p, tf.float32)[..., tf.newaxis] for p in (x - left, y - top))
        total = 0.0
        for down in (0, 1):
            for across in (0, 1):
                column = tf.cast(left, tf.int32) + across
                row = tf.cast(top, tf.int32) + down
                weight = (part_x if across else 1.0 - part_x) * (part_y if down else 1.0 - part_y)
                if self.border == "black":
                    inside = (column >= 0) & (column < columns[:, tf.newaxis])
                    inside &= (row >= 0) & (row < rows[:, tf.newaxis])
                    weight *= tf.cast(inside, tf.float32)[..., tf.newaxis]
                place = _within(row, rows, self.border) * tf.shape(images)[2]
                place += _within(column, columns, self.border)
                flat = tf.reshape(images, (tf.shape(images)[0], -1, 3))
                total += weight * tf.gather(flat, place, batch_dims=1)
        size = self.preprocessing.size
        return _to_bytes(tf.reshape(total, (-1, size, size, 3)))


def _within(index: Any, count: Any, border: str) -> Any:
    """Brings indices [B, n] to what an image has, 0 to count − 1, by its border."""
    import tensorflow as tf

    last = (count - 1)[:, tf.newaxis]
    if border == "reflect":
        period = tf.maximum(2 * last, 1)
        index = tf.math.floormod(index, period)
        index = tf.minimum(index, 2 * last - index)
    return tf.clip_by_value(index, 0, last)


def _block_sums(images: Any, block: Any, axis: int) -> Any:
    """Adds up blocks along an axis, as differences of running sums; what is over is padding."""
    import tensorflow as tf

    count = tf.shape(images)[axis]
    sums = tf.cumsum(images, axis=axis)
    sums = tf.concat([tf.zeros_like(tf.gather(sums, [0], axis=axis)), sums], axis=axis)
    ends = tf.minimum(tf.range(count + 1)[tf.newaxis] * block[:, tf.newaxis], count)
    high = tf.gather(sums, ends[:, 1:], axis=axis, batch_dims=1)
    return high - tf.gather(sums, ends[:, :-1], axis=axis, batch_dims=1)


def _soften(images: Any, share: Any, count: Any, axis: int) -> Any:
    """Convolves with [a, 1 − 2a, a] along an axis, of which an image has `count` [B] pixels."""
    import tensorflow as tf

    places = tf.broadcast_to(tf.range(tf.shape(images)[axis]), tf.shape(images)[::axis][:2])
    before, after = (
        tf.gather(images, _within(places + step, count, "reflect"), axis=axis, batch_dims=1)
        for step in (-1, 1)
    )
    (share,) = _columns(share)
    return images * (1.0 - 2.0 * share) + (before + after) * share


def _columns(parameters: Any) -> list[Any]:
    """Splits [B, k] into k tensors [B, 1, 1, 1]."""
    import tensorflow as tf

    return [c[:, tf.newaxis, tf.newaxis, tf.newaxis] for c in tf.unstack(parameters, axis=1)]


def _to_bytes(values: Any) -> Any:
    import tensorflow as tf

    return tf.saturate_cast(tf.round(values), tf.uint8)


Kernel = Callable[..., Any]
"""Maps uint8 [B, S, S, 3] and parameters [B, 1, 1, 1] to uint8 [B, S, S, 3]."""


def _kernel(operation: Pixels) -> Kernel:
    """Returns what draws a pixel operation."""
    if isinstance(operation, GaussianBlur):
        return functools.partial(_gaussian, reach=math.ceil(3 * operation.sigma))
    if isinstance(operation, MedianBlur):
        return functools.partial(_median, most=operation.size // 2)
    if isinstance(operation, BilateralBlur):
        return functools.partial(_bilateral, space=operation.space)
    if isinstance(operation, Erase):
        return functools.partial(_erase, fill=operation.fill)
    if isinstance(operation, GaussianNoise):
        return _noise
    raise TypeError(f"no kernel for {operation.name}")


def _neighbors(images: Any, reach: int, border: Literal["reflect", "edge"]) -> Any:
    """Returns a function from (down, across) to the images moved by so many pixels, float32."""
    import tensorflow as tf

    size = images.shape[1]
    places = np.pad(np.arange(size), reach, mode=border)
    padded = tf.gather(tf.gather(images, places, axis=1), places, axis=2)
    padded = tf.cast(padded, tf.float32)

    def moved(down: int, across: int) -> Any:
        top, left = reach + down, reach + across
        return padded[:, top : top + size, left : left + size]

    return moved


def _gaussian(images: Any, sigma: Any, *, reach: int) -> Any:
    import tensorflow as tf

    steps = range(-reach, reach + 1)
    inside = [tf.cast(abs(s) <= tf.math.ceil(3.0 * sigma), tf.float32) for s in steps]
    spread = tf.maximum(sigma, 1e-3)
    weights = [i * tf.exp(-0.5 * (s / spread) ** 2) for s, i in zip(steps, inside, strict=True)]
    total = tf.add_n(weights)
    moved = _neighbors(images, reach, "reflect")
    rows = tf.add_n([w / total * moved(s, 0) for s, w in zip(steps, weights, strict=True)])
    moved = _neighbors(rows, reach, "reflect")
    return _to_bytes(
        tf.add_n([w / total * moved(0, s) for s, w in zip(steps, weights, strict=True)])
    )


def _median(images: Any, reach: Any, *, most: int) -> Any:
    import tensorflow as tf

    found = images
    for width in range(1, most + 1):
        moved = _neighbors(images, width, "edge")
        steps = range(-width, width + 1)
        square = tf.stack([moved(down, across) for down in steps for across in steps], axis=-1)
        middle = tf.sort(square, axis=-1)[..., (2 * width + 1) ** 2 // 2]
        found = tf.where(reach == width, _to_bytes(middle), found)
    return found


def _bilateral(images: Any, color: Any, *, space: float) -> Any:
    import tensorflow as tf

    reach = BILATERAL_WIDTH // 2
    moved = _neighbors(images, reach, "reflect")
    center = moved(0, 0)
    total, weights = 0.0, 0.0
    for down in range(-reach, reach + 1):
        for across in range(-reach, reach + 1):
            if math.hypot(down, across) > reach:
                continue
            other = moved(down, across)
            difference = tf.reduce_sum(tf.abs(other - center), axis=-1, keepdims=True)
            near = math.exp(-0.5 * (down**2 + across**2) / space**2)
            weight = near * tf.exp(-0.5 * (difference / tf.maximum(color, 1e-3)) ** 2)
            total, weights = total + weight * other, weights + weight
    return _to_bytes(total / weights)


def _noise(images: Any, scale: Any, place: Any) -> Any:
    import tensorflow as tf

    noise = tf.cast(_stretch(place, images.shape), tf.float32) - 128.0
    return _to_bytes(tf.cast(images, tf.float32) + scale * noise)


def _erase(
    images: Any, top: Any, left: Any, height: Any, width: Any, place: Any, *, fill: str
) -> Any:
    import tensorflow as tf

    size = images.shape[1]
    hole = _inside(size, top, left, height, width)
    if fill != "noise":
        return tf.where(hole, tf.constant(FILLS[fill], tf.uint8), images)
    # The rectangle is filled row by row.
    y, x = np.mgrid[:size, :size].astype(np.float32)[..., np.newaxis]
    pixel = (y - top) * width + (x - left)
    return tf.where(hole, _stretch(place, images.shape, pixel), images)


def _inside(size: int, top: Any, left: Any, height: Any, width: Any) -> Any:
    """Returns which pixels lie in rectangles [B, 1, 1, 1], as bool [B, S, S, 1]."""
    y, x = np.mgrid[:size, :size].astype(np.float32)[..., np.newaxis]
    return (y >= top) & (y < top + height) & (x >= left) & (x < left + width)


def _stretch(place: Any, shape: Any, pixel: Any = None) -> Any:
    """Takes numbers from the noise bank, uint8 [B, S, S, 3], pixel by pixel from a place on."""
    import tensorflow as tf

    size = shape[1]
    if pixel is None:
        pixel = np.arange(size * size, dtype=np.float32).reshape(size, size, 1)
    # As whole numbers, since a float32 counts to 2^24 alone.
    first = tf.cast(place, tf.int32) + 3 * tf.cast(pixel, tf.int32)
    with tf.init_scope():
        bank = tf.constant(noise_bank())
    return tf.gather(bank, tf.clip_by_value(first + tf.range(3), 0, bank.shape[0] - 1))
