"""OpenCV kernels of the filters, each on one view in place."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

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

Image = npt.NDArray[np.uint8]
Kernel = Callable[..., None]
"""Filters one view, uint8 [S, S, 3], in place, given its arguments as floats."""


def build_kernel(operation: FilterOperation) -> Kernel:
    """Builds the kernel of a filter.

    Raises:
        KeyError: No kernel is written for the operation.
    """
    if isinstance(operation, Erase):
        return functools.partial(_erase, fill=operation.fill)
    if isinstance(operation, BilateralBlur):
        return functools.partial(_blur_bilateral, space=operation.space)
    return _KERNELS[type(operation)]


def _blur_gaussian(view: Image, sigma: float) -> None:
    width = 2 * math.ceil(3 * sigma) + 1
    cv2.GaussianBlur(view, (width, width), sigma, dst=view)


def _blur_median(view: Image, radius: float) -> None:
    cv2.medianBlur(view, 2 * int(radius) + 1, dst=view)


def _blur_bilateral(view: Image, color: float, *, space: float) -> None:
    np.copyto(view, cv2.bilateralFilter(view, BILATERAL_DIAMETER, color, space))


def _add_noise(view: Image, scale: float, noise_offset: float) -> None:
    # view + scale × (byte − 128), rounded and clipped once.
    noise = _slice_noise_bank(noise_offset, view.shape)
    cv2.addWeighted(view, 1.0, noise, scale, -128.0 * scale, dst=view)


def _erase(
    view: Image,
    top: float,
    left: float,
    height: float,
    width: float,
    noise_offset: float,
    *,
    fill: str,
) -> None:
    rectangle = view[int(top) : int(top + height), int(left) : int(left + width)]
    if fill == "noise":
        np.copyto(rectangle, _slice_noise_bank(noise_offset, rectangle.shape))
    else:
        rectangle[:] = FILL_VALUES[fill]


def _slice_noise_bank(offset: float, shape: tuple[int, ...]) -> Image:
    start = int(offset)
    return build_noise_bank()[start : start + math.prod(shape)].reshape(shape)


_KERNELS: dict[type[FilterOperation], Kernel] = {
    GaussianBlur: _blur_gaussian,
    MedianBlur: _blur_median,
    GaussianNoise: _add_noise,
}
