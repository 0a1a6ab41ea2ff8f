"""Principal components of the training images' colors, which `pca_noise` varies."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

_PIXELS = 4096
"""Pixels of an image that are looked at, taken evenly; more change no digit that counts."""


def fit_axes(images: Iterable[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
    """Fits the principal components of colors, every image counting the same.

    Args:
        images: uint8 [H, W, 3] each, of any size; at least one.

    Returns:
        float32 [3, 3]: column i is the i-th eigenvector of the covariance of pixels in
        0 to 1, times its eigenvalue; the largest first, each with a sum not below 0.
    """
    count, total, squares = 0, np.zeros(3), np.zeros((3, 3))
    for image in images:
        pixels = image.reshape(-1, 3)
        chosen = np.linspace(0, len(pixels) - 1, min(_PIXELS, len(pixels))).astype(np.int64)
        colors = pixels[chosen] / 255.0
        total += colors.mean(axis=0)
        squares += colors.T @ colors / len(colors)
        count += 1
    mean = total / count
    values, vectors = np.linalg.eigh(squares / count - np.outer(mean, mean))
    vectors *= np.where(vectors.sum(axis=0) < 0, -1, 1)
    return (vectors * values.clip(min=0))[:, ::-1].astype(np.float32)
