"""TensorFlow kernels of the filters, on dense batches."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from pipelines.augment.base import FilterOperation
from pipelines.augment.filters import (
    BILATERAL_DIAMETER,
    FILL_VALUES,
    BilateralBlur,
    Erase,
    GaussianBlur,
    GaussianNoise,
    MedianBlur,
)
from pipelines.augment.noise_bank import build_noise_bank

Kernel = Callable[..., Any]
"""Filters uint8 [B, S, S, 3], given its arguments as tensors [B, 1, 1, 1]."""


def build_kernel(operation: FilterOperation) -> Kernel:
    """Builds the kernel of a filter.

    Raises:
        TypeError: No kernel is written for the operation.
    """
    if isinstance(operation, GaussianBlur):
        return functools.partial(_blur_gaussian, max_radius=math.ceil(3 * operation.sigma))
    if isinstance(operation, MedianBlur):
        return functools.partial(_blur_median, max_radius=operation.size // 2)
    if isinstance(operation, BilateralBlur):
        return functools.partial(_blur_bilateral, space=operation.space)
    if isinstance(operation, Erase):
        return functools.partial(_erase, fill=operation.fill)
    if isinstance(operation, GaussianNoise):
        return _add_noise
    raise TypeError(f"no kernel for {operation.name}")


def _build_neighbors(images: Any, radius: int, border: Literal["reflect", "edge"]) -> Any:
    """Returns a function from (dy, dx) to the neighbor of every pixel, float32 [B, S, S, 3]."""
    import tensorflow as tf

    size = images.shape[1]
    positions = np.pad(np.arange(size), radius, mode=border)
    padded = tf.gather(tf.gather(images, positions, axis=1), positions, axis=2)
    padded = tf.cast(padded, tf.float32)

    def neighbor(dy: int, dx: int) -> Any:
        top, left = radius + dy, radius + dx
        return padded[:, top : top + size, left : left + size]

    return neighbor


def _blur_gaussian(images: Any, sigma: Any, *, max_radius: int) -> Any:
    import tensorflow as tf

    steps = range(-max_radius, max_radius + 1)
    inside = [tf.cast(abs(s) <= tf.math.ceil(3.0 * sigma), tf.float32) for s in steps]
    sigma = tf.maximum(sigma, 1e-3)  # an unblurred image has 0, and is discarded later
    weights = [i * tf.exp(-0.5 * (s / sigma) ** 2) for s, i in zip(steps, inside, strict=True)]
    total = tf.add_n(weights)
    neighbor = _build_neighbors(images, max_radius, "reflect")
    blurred = tf.add_n([w / total * neighbor(s, 0) for s, w in zip(steps, weights, strict=True)])
    neighbor = _build_neighbors(blurred, max_radius, "reflect")
    return to_bytes(
        tf.add_n([w / total * neighbor(0, s) for s, w in zip(steps, weights, strict=True)])
    )


def _blur_median(images: Any, radius: Any, *, max_radius: int) -> Any:
    import tensorflow as tf

    blurred = images
    for candidate in range(1, max_radius + 1):
        neighbor = _build_neighbors(images, candidate, "edge")
        steps = range(-candidate, candidate + 1)
        square = tf.stack([neighbor(dy, dx) for dy in steps for dx in steps], axis=-1)
        median = tf.sort(square, axis=-1)[..., (2 * candidate + 1) ** 2 // 2]
        blurred = tf.where(radius == candidate, to_bytes(median), blurred)
    return blurred


def _blur_bilateral(images: Any, color: Any, *, space: float) -> Any:
    import tensorflow as tf

    radius = BILATERAL_DIAMETER // 2
    neighbor = _build_neighbors(images, radius, "reflect")
    center = neighbor(0, 0)
    total, weights = 0.0, 0.0
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if math.hypot(dy, dx) > radius:
                continue
            other = neighbor(dy, dx)
            difference = tf.reduce_sum(tf.abs(other - center), axis=-1, keepdims=True)
            space_weight = math.exp(-0.5 * (dy**2 + dx**2) / space**2)
            color_weight = tf.exp(-0.5 * (difference / tf.maximum(color, 1e-3)) ** 2)
            weight = space_weight * color_weight
            total, weights = total + weight * other, weights + weight
    return to_bytes(total / weights)


def _add_noise(images: Any, scale: Any, noise_offset: Any) -> Any:
    import tensorflow as tf

    noise = tf.cast(_slice_noise_bank(noise_offset, images.shape), tf.float32) - 128.0
    return to_bytes(tf.cast(images, tf.float32) + scale * noise)


def _erase(
    images: Any, top: Any, left: Any, height: Any, width: Any, noise_offset: Any, *, fill: str
) -> Any:
    import tensorflow as tf

    size = images.shape[1]
    inside = build_rectangle_mask(size, top, left, height, width)
    if fill != "noise":
        return tf.where(inside, tf.constant(FILL_VALUES[fill], tf.uint8), images)
    # The rectangle takes consecutive values of the bank, row by row.
    y, x = np.mgrid[:size, :size].astype(np.float32)[..., np.newaxis]
    pixel = (y - top) * width + (x - left)
    return tf.where(inside, _slice_noise_bank(noise_offset, images.shape, pixel), images)


def _slice_noise_bank(offset: Any, shape: Any, pixel: Any = None) -> Any:
    """Takes consecutive values of the noise bank, uint8 [B, S, S, 3].

    Args:
        offset: float32 [B, 1, 1, 1], where each image begins.
        shape: Static shape of the images.
        pixel: float32 [B, S, S, 1], number of each pixel, three values apart; None
            numbers the pixels of an image row by row.
    """
    import tensorflow as tf

    size = shape[1]
    if pixel is None:
        pixel = np.arange(size * size, dtype=np.float32).reshape(size, size, 1)
    # As integers, since float32 represents integers exactly only up to 2^24.
    first = tf.cast(offset, tf.int32) + 3 * tf.cast(pixel, tf.int32)
    with tf.init_scope():
        bank = tf.constant(build_noise_bank())
    return tf.gather(bank, tf.clip_by_value(first + tf.range(3), 0, bank.shape[0] - 1))


def build_rectangle_mask(size: int, top: Any, left: Any, height: Any, width: Any) -> Any:
    """Builds the mask of the pixels inside one rectangle per image.

    Args:
        size: Side S of the images, in pixels.
        top: float32 [B, 1, 1, 1], in pixels, like the rest.
        left: float32 [B, 1, 1, 1].
        height: float32 [B, 1, 1, 1].
        width: float32 [B, 1, 1, 1].

    Returns:
        bool [B, S, S, 1].
    """
    y, x = np.mgrid[:size, :size].astype(np.float32)[..., np.newaxis]
    return (y >= top) & (y < top + height) & (x >= left) & (x < left + width)


def to_bytes(values: Any) -> Any:
    """Rounds float32 of any shape to the nearest integer and clips to uint8."""
    import tensorflow as tf

    return tf.saturate_cast(tf.round(values), tf.uint8)
