"""Principal components of the training images' colors, the axes of `pca_noise`."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

_PIXELS_PER_IMAGE = 4096
"""Evenly spaced pixels sampled from an image; more change no significant digit."""


def fit_color_pca(images: Iterable[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
    """Fits the principal components of pixel colors, weighting all images equally.

    Args:
        images: At least one uint8 [H, W, 3], of any size.

    Returns:
        float32 [3, 3]: column i is the i-th eigenvector of the covariance of pixels in
        0 to 1, times its eigenvalue; largest first, signed so that its sum is not
        negative.
    """
    count, mean_sum, moment_sum = 0, np.zeros(3), np.zeros((3, 3))
    for image in images:
        pixels = image.reshape(-1, 3)
        num_pixels = min(_PIXELS_PER_IMAGE, len(pixels))
        selected = np.linspace(0, len(pixels) - 1, num_pixels).astype(np.int64)
        colors = pixels[selected] / 255.0
        mean_sum += colors.mean(axis=0)
        moment_sum += colors.T @ colors / len(colors)
        count += 1
    mean = mean_sum / count
    eigenvalues, eigenvectors = np.linalg.eigh(moment_sum / count - np.outer(mean, mean))
    eigenvectors *= np.where(eigenvectors.sum(axis=0) < 0, -1, 1)
    return (eigenvectors * eigenvalues.clip(min=0))[:, ::-1].astype(np.float32)
