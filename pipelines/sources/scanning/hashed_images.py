"""Perceptual hashes of images by their digests: in memory, in a file, and in the cache.

    CACHE/hashes/<format>/<name>.npz    the hashes that one job computed

What is in the cache, computing it again finds as well: a file that is damaged or gone costs time
alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.runtime.threads import map_in_order
from pipelines.sources.columns import KeyIndex, sortable
from pipelines.sources.examining.examination import EXAMINED_SIDE
from pipelines.sources.examining.perceptual_hash import (
    MIN_SIDE,
    NUM_WINDOWS,
    NUM_WORDS,
    PerceptualHashes,
    hash_image,
)
from pipelines.sources.source import Examples
from zoo.decoding.image_decoder import ImageDecoder
from zoo.errors import DataError
from zoo.files import cache_folder, replacing
from zoo.progress import track
from zoo.reading import read_arrays

Rows = npt.NDArray[np.uint64]

_FORMAT = "1"
"""Another one where the same file has another hash."""

_DECODER = ImageDecoder(needed=EXAMINED_SIDE)
"""The same for every recipe, so that a file has one hash. Most recipes decode photographs so, and
those that the scan decoded need not be decoded again."""

_MANY_FILES = 32
"""Files of the cache from which on they are joined to one."""

_MAX_IMAGES = 500_000
"""Images whose hashes the cache keeps, of 320 bytes each; beyond that it starts anew."""


@dataclass(frozen=True)
class HashedImages:
    """The perceptual hashes of M images.

    Args:
        digests: SHA-256 of the images, uint8 [M, 32].
        hashes: Of each image.
    """

    digests: npt.NDArray[np.uint8]
    hashes: PerceptualHashes

    def __len__(self) -> int:
        return len(self.digests)

    @classmethod
    def of(cls, digests: npt.NDArray[np.uint8], rows: Rows) -> HashedImages:
        """Returns the images with these digests and these rows of `PerceptualHashes.rows`."""
        return cls(digests, PerceptualHashes.of_rows(rows))

    @classmethod
    def none(cls) -> HashedImages:
        """Returns no image."""
        return cls.of(
            np.zeros((0, 32), np.uint8), np.zeros((0, NUM_WINDOWS + 1, NUM_WORDS), np.uint64)
        )

    @staticmethod
    def join(parts: Sequence[HashedImages]) -> HashedImages:
        """Concatenates images, at least one part."""
        digests = np.concatenate([part.digests for part in parts])
        return HashedImages.of(digests, np.concatenate([part.hashes.rows for part in parts]))

    def save(self, file: Path) -> None:
        """Writes a NumPy archive, whole or not at all.

        Raises:
            OSError: It cannot be written.
        """
        with replacing(file) as temporary:
            np.savez(temporary, digests=self.digests, hashes=self.hashes.rows)

    @classmethod
    def load(cls, file: Path) -> HashedImages:
        """Reads what `save` wrote.

        Raises:
            OSError: The file cannot be read.
            ValueError: It is damaged.
        """
        arrays = read_arrays(file)
        if set(arrays) != {"digests", "hashes"}:
            raise ValueError(f"arrays {', '.join(sorted(arrays))}")
        digests, hashes = arrays["digests"], arrays["hashes"]
        if digests.shape[1:] != (32,) or digests.dtype != np.uint8:
            raise ValueError(f"digests of {digests.dtype} {digests.shape}")
        shape = (len(digests), NUM_WINDOWS + 1, NUM_WORDS)
        if hashes.shape != shape or hashes.dtype != np.uint64:
            raise ValueError(f"hashes of {hashes.dtype} {hashes.shape}")
        # A file may hold them in Fortran's order, of which words are not read as bytes.
        return cls.of(*map(np.ascontiguousarray, (digests, hashes)))


def are_comparable(examples: Examples) -> npt.NDArray[np.bool_]:
    """Returns which images have the pixels that a hash needs, bool [N].

    Args:
        examples: N scanned images.
    """
    if examples.shapes is None:
        return np.zeros(len(examples), bool)
    return np.asarray(examples.shapes.min(axis=1) >= MIN_SIDE)


def hash_examples(examples: Examples) -> PerceptualHashes:
    """Returns the hashes of images: from the cache, of pixels that the scan kept, or of files.

    Args:
        examples: N images of which `are_comparable` holds.

    Raises:
        DataError: An image changed after it was scanned.
    """
    digests = examples.binary_digests
    known = _read_cache()
    lacking = np.flatnonzero(KeyIndex(known.digests).find(digests) < 0)
    # Of images with the same bytes, the first stands for all.
    lacking = lacking[np.sort(np.unique(sortable(digests[lacking]), return_index=True)[1])]
    if len(lacking):
        new = _compute(examples.take(lacking))
        _write_cache(new)
        known = HashedImages.join([known, new])
    return known.hashes.take(KeyIndex(known.digests).find(digests))


def _compute(examples: Examples) -> HashedImages:
    import tensorflow as tf

    kept, digests = examples.kept, examples.binary_digests
    found = np.full(len(examples), -1, np.int64)
    if kept is not None and len(kept):
        found = kept.find_for(_DECODER, digests, examples.shapes)
        places, pixels = kept.places, kept.pixels

    def compute(index: int) -> Rows:
        if found[index] >= 0:
            start, height, width = places[found[index]]
            image = pixels[start : start + 3 * height * width].reshape(height, width, 3)
            return hash_image(image)
        try:
            return hash_image(_DECODER.decode_bytes(examples.read(index))[0])
        except (OSError, tf.errors.OpError):
            raise DataError(
                f"{examples.names[index]} changed while the job ran",
                expected="the file that was scanned",
                mend="start again",
            ) from None

    rows = np.empty((len(examples), NUM_WINDOWS + 1, NUM_WORDS), np.uint64)
    # OpenCV and TensorFlow's decoders release the interpreter lock.
    hashes = map_in_order(compute, range(len(examples)), os.cpu_count() or 1)
    with track("comparing", len(examples), unit="images") as progress:
        for index, row in enumerate(hashes):
            rows[index] = row
            progress.advance(1)
    return HashedImages.of(digests, rows)


def _read_cache() -> HashedImages:
    parts = [HashedImages.none()]
    for file in _cached_files():
        try:
            parts.append(HashedImages.load(file))
        except (OSError, ValueError):
            with contextlib.suppress(OSError):  # another job has removed it, or it is damaged
                file.unlink(missing_ok=True)
    return HashedImages.join(parts)


def _write_cache(new: HashedImages) -> None:
    """Adds a file to the cache, if it can be written; joins all files once there are many."""
    name = hashlib.sha256(new.digests.tobytes()).hexdigest()[:32]
    with contextlib.suppress(OSError):
        new.save(_cache() / f"{name}.npz")
        if len(files := _cached_files()) >= _MANY_FILES:
            whole = _read_cache()
            kept = new if len(whole) > _MAX_IMAGES else whole
            name = hashlib.sha256(kept.digests.tobytes()).hexdigest()[:32]
            kept.save(_cache() / f"{name}.npz")
            for file in files:
                if file.stem != name:
                    file.unlink(missing_ok=True)


def _cache() -> Path:
    return cache_folder() / "hashes" / _FORMAT


def _cached_files() -> list[Path]:
    return sorted(_cache().glob("[!.]*.npz"))
