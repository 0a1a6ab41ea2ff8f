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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Words = npt.NDArray[np.uint64]
    Indices = npt.NDArray[np.int64]

NUM_FREQUENCIES = 12
"""Frequencies in each direction."""

NUM_BITS = NUM_FREQUENCIES**2 - 1

MIN_SIDE = 20
"""Pixels of the shorter side that 12 frequencies need, about."""

SOURCE_SIDE = 128
"""Pixels of the square that windows are cut from: enough for `_WINDOWS` to have whole ones."""

NUM_WORDS = 3
"""Words of 64 bits that hold the bits of a hash; those at the end are 0."""

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

NUM_WINDOWS = len(_WINDOWS)


@dataclass(frozen=True)
class PerceptualHashes:
    """The hashes of M images.

    Args:
        windows: uint64 [M, W, 3], the bits of W windows, those of the whole image first.
        mirrored: uint64 [M, 3], of the whole image mirrored.
    """

    windows: Words
    mirrored: Words

    def __len__(self) -> int:
        return len(self.windows)

    @classmethod
    def of_rows(cls, rows: Words) -> PerceptualHashes:
        """Returns the hashes that `rows` holds."""
        return cls(rows[:, :-1], rows[:, -1])

    @property
    def rows(self) -> Words:
        """The hashes as one array, uint64 [M, W + 1, 3]."""
        import numpy as np

        return np.concatenate([self.windows, self.mirrored[:, np.newaxis]], axis=1)

    def take(self, indices: Indices) -> PerceptualHashes:
        """Returns the hashes at `indices`, in that order."""
        return PerceptualHashes(self.windows[indices], self.mirrored[indices])

    def count_differences(self, others: PerceptualHashes) -> Indices:
        """Counts the bits in which images differ from others, whichever window fits best.

        The whole of one image is compared with every window of the other, as it is and mirrored.

        Args:
            others: Of M other images, one for each.

        Returns:
            int64 [M], 0 to NUM_BITS; about half of the bits for images that have nothing in common.
        """
        import numpy as np

        least = np.full(len(self), NUM_BITS, np.int64)
        for one, other in ((self, others), (others, self)):
            for whole in (one.windows[:, 0], one.mirrored):
                # [M, 1, 3] against [M, W, 3]
                differing = whole[:, np.newaxis] ^ other.windows
                counts = np.bitwise_count(differing).sum(axis=-1, dtype=np.int64)
                least = np.minimum(least, counts.min(axis=1))
        return least


def hash_image(image: npt.NDArray[np.uint8]) -> Words:
    """Hashes an image.

    Args:
        image: uint8 [H, W, 3].

    Returns:
        uint64 [W + 1, 3]: a row of `PerceptualHashes.rows`.
    """
    import cv2
    import numpy as np

    gray = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY).astype(np.float32)
    shrinks = min(gray.shape) >= SOURCE_SIDE
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    square = cv2.resize(gray, (SOURCE_SIDE, SOURCE_SIDE), interpolation=method)
    # [W, 12, 12], or [W, 143] without the mean
    lowest = np.stack([rows @ square @ columns for rows, columns in _operators()])
    windows = lowest.reshape(NUM_WINDOWS, -1)[:, 1:]
    is_odd = np.arange(1, NUM_FREQUENCIES**2) % NUM_FREQUENCIES % 2 == 1
    mirrored = np.where(is_odd, -windows[0], windows[0])
    return _pack(np.concatenate([windows, mirrored[np.newaxis]]))


@cache
def _operators() -> Sequence[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Returns the matrices that turn the square into the lowest frequencies of each window.

    A crop, its reduction by areas and the cosine transform are linear, and the same for rows and
    columns: float32 [12, 128] from the left and [128, 12] from the right do all three.
    """
    import cv2
    import numpy as np
    from scipy.fft import dct

    def build(start: float, length: float) -> npt.NDArray[np.float32]:
        part = slice(round(start * SOURCE_SIDE), round((start + length) * SOURCE_SIDE))
        cropped = np.eye(SOURCE_SIDE, dtype=np.float32)[part]
        reduced = cv2.resize(cropped, (SOURCE_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        return np.asarray(dct(reduced, axis=0, norm="ortho")[:NUM_FREQUENCIES], np.float32)

    return tuple(
        (build(top, height), np.ascontiguousarray(build(left, width).T))
        for top, left, height, width in _WINDOWS
    )


def _pack(coefficients: npt.NDArray[np.float32]) -> Words:
    """Returns which coefficients are above their median, [n, 143], as uint64 [n, 3]."""
    import numpy as np

    above = np.zeros((len(coefficients), 64 * NUM_WORDS), bool)
    above[:, :NUM_BITS] = coefficients > np.median(coefficients, axis=-1, keepdims=True)
    return np.packbits(above, axis=-1).view(np.uint64)


def unpack_bits(words: Words) -> npt.NDArray[np.uint8]:
    """Returns the bits of hashes, uint8 [..., 143], each 0 or 1.

    Args:
        words: uint64 [..., 3].
    """
    import numpy as np

    return np.unpackbits(words.view(np.uint8), axis=-1)[..., :NUM_BITS]


def split_evenly(count: int, most: int) -> Iterator[slice]:
    """Yields the parts of `count` items, each of at most so many."""
    for start in range(0, count, most):
        yield slice(start, min(start + most, count))
