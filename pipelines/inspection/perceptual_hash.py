"""Perceptual hashes: bits that stay when an image is encoded again, scaled, mirrored or cropped.

A hash has a bit for each of the lowest 12 × 12 frequencies of an image's cosine transform but the
mean, set where the coefficient is above their median. This is the hash of Zauner, 2010,
Implementation and Benchmarking of Perceptual Image Hash Functions,
https://www.phash.org/docs/pubs/thesis_zauner.pdf, with 143 bits instead of 64: 64 do not tell
different photographs of one studio from copies of one. A crop shifts the frequencies, so an image
has a hash for each of several windows; mirroring negates the odd horizontal frequencies.

It is written here because what is installed has none: OpenCV's is in its contrib modules, and
ImageHash hashes neither windows nor mirrored images from one transform.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]

NUM_FREQUENCIES = 12
"""Frequencies in each direction."""

NUM_BITS = NUM_FREQUENCIES**2 - 1

MIN_SIDE = 20
"""Pixels of the shorter side that 12 frequencies need, about."""

SOURCE_SIDE = 128
"""Pixels of the square that windows are cut from: enough for `_WINDOWS` to have whole ones."""

_SIDE = 32
"""Pixels of a window that is transformed."""

_CROP = 0.05
_REST = 1 - _CROP
_WINDOWS = (
    (0, 0, 1, 1),
    *((top, left, _REST, _REST) for top in (0, _CROP) for left in (0, _CROP)),
    *((0, left, 1, _REST) for left in (0, _CROP)),
    *((top, 0, _REST, 1) for top in (0, _CROP)),
    (_CROP / 2, _CROP / 2, _REST, _REST),
    (_CROP, _CROP, 1 - 2 * _CROP, 1 - 2 * _CROP),
)
"""Top, left, height and width of the windows as shares of the image: the whole; crops of 5 % at two
edges, at one edge, around the center, and at every edge."""

_BLOCK = 4096
"""Pairs that are compared at once."""


@dataclass(frozen=True)
class PerceptualHashes:
    """The hashes of M images.

    Args:
        plain: uint8 [M, W, 18], packed bits of the W windows, the whole image first.
        mirrored: uint8 [M, W, 18], of the mirrored windows.
    """

    plain: Bits
    mirrored: Bits

    def count_differences(self, first: Indices, second: Indices) -> Indices:
        """Counts the bits in which pairs of images differ, whichever window fits best.

        The whole of one image is compared with every window of the other, as it is and mirrored.

        Args:
            first: int64 [P].
            second: int64 [P].

        Returns:
            int64 [P], 0 to NUM_BITS; about half of the bits for images that have nothing in common.
        """
        counts = [
            self._compare(first[start : start + _BLOCK], second[start : start + _BLOCK])
            for start in range(0, len(first), _BLOCK)
        ]
        return np.concatenate(counts) if counts else np.zeros(0, np.int64)

    def _compare(self, first: Indices, second: Indices) -> Indices:
        least = np.full(len(first), NUM_BITS, np.int64)
        for hashes in (self.plain, self.mirrored):
            for one, other in ((first, second), (second, first)):
                # [P, 1, 18] against [P, W, 18]
                differing = hashes[one, :1] ^ self.plain[other]
                counts = np.bitwise_count(differing).sum(axis=-1, dtype=np.int64)
                least = np.minimum(least, counts.min(axis=1))
        return least


def hash_images(images: Iterable[npt.NDArray[np.uint8]]) -> PerceptualHashes:
    """Hashes images.

    Args:
        images: uint8 [H, W, 3] each, at least one.
    """
    # [M, W, 143]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        coefficients = np.stack(list(pool.map(_transform_windows, images)))
    horizontal = np.arange(1, NUM_FREQUENCIES**2) % NUM_FREQUENCIES
    mirrored = np.where(horizontal % 2, -coefficients, coefficients)
    return PerceptualHashes(_pack(coefficients), _pack(mirrored))


def _transform_windows(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Returns the lowest frequencies of each window but the mean, float32 [W, NUM_BITS]."""
    import cv2
    from scipy.fft import dctn

    gray = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY).astype(np.float32)
    shrinks = min(gray.shape) >= SOURCE_SIDE
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    square = cv2.resize(gray, (SOURCE_SIDE, SOURCE_SIDE), interpolation=method)
    windows = []
    for top, left, height, width in _WINDOWS:
        rows, columns = (
            slice(round(start * SOURCE_SIDE), round((start + length) * SOURCE_SIDE))
            for start, length in ((top, height), (left, width))
        )
        window = np.ascontiguousarray(square[rows, columns])
        windows.append(cv2.resize(window, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA))
    frequencies = dctn(np.stack(windows), axes=(1, 2), norm="ortho")
    lowest = frequencies[:, :NUM_FREQUENCIES, :NUM_FREQUENCIES]
    return np.asarray(lowest.reshape(len(windows), -1)[:, 1:], np.float32)


def _pack(coefficients: npt.NDArray[np.float32]) -> Bits:
    above = coefficients > np.median(coefficients, axis=-1, keepdims=True)
    return np.packbits(above, axis=-1)
