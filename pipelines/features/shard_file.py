"""Shard file: the features of some images in one view, with a checksum over all of its bytes.

    digests    uint8 [n, 32]       SHA-256 of the images
    features   float32 [n, 2, F]   little-endian, in the order of STORED_POOLINGS
    checksum   uint32 []           CRC-32 of all before it, little-endian

There is no header to be damaged: n follows from the file's size, F from the network.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from zoo.files import replacing

_DIGEST_BYTES, _CHECKSUM_BYTES = 32, 4
_BLOCK_BYTES = 2**20


class Shard:
    """Features of n images, read from a file when they are first needed.

    Args:
        digests: SHA-256 of the images, uint8 [n, 32].
        features: float32 [n, 2, F]; None reads them from `file`.
        file: The shard file.
    """

    def __init__(
        self,
        digests: npt.NDArray[np.uint8],
        features: npt.NDArray[np.float32] | None = None,
        file: Path | None = None,
    ) -> None:
        self.digests, self.file = digests, file
        self._features = features

    @classmethod
    def open(cls, file: Path, num_features: int) -> Shard:
        """Opens a shard file and reads its digests, which are not verified yet.

        Args:
            file: The file.
            num_features: F.

        Raises:
            OSError: It cannot be read.
            ValueError: It has another size than any number of images needs.
        """
        size = file.stat().st_size - _CHECKSUM_BYTES
        num_images, rest = divmod(size, _DIGEST_BYTES + 8 * num_features)
        if num_images < 1 or rest:
            raise ValueError(f"{size + _CHECKSUM_BYTES:,} bytes")
        digests = np.fromfile(file, np.uint8, num_images * _DIGEST_BYTES)
        return cls(digests.reshape(num_images, _DIGEST_BYTES), file=file)

    @property
    def features(self) -> npt.NDArray[np.float32]:
        """float32 [n, 2, F], memory-mapped where they have a file.

        Raises:
            ValueError: `load` has not been called.
        """
        if self._features is None:
            raise ValueError("The shard is not loaded.")
        return self._features

    def load(self) -> None:
        """Verifies the file and maps its features into memory; does so once.

        Raises:
            OSError: The file cannot be read.
            ValueError: It is damaged.
        """
        if self._features is not None or self.file is None:
            return
        with self.file.open("rb") as opened:
            # Read, not mapped: on a failing disk a read is an error, a mapped page a signal.
            checksum = 0
            for block in _content_blocks(opened):
                checksum = zlib.crc32(block, checksum)
            if opened.read() != _pack(checksum):
                raise ValueError("another checksum")
            content = np.memmap(opened, np.uint8, mode="r")
        start = self.digests.size
        if not np.array_equal(content[:start], self.digests.reshape(-1)):
            raise ValueError("other images")
        features = content[start:-_CHECKSUM_BYTES].view("<f4")
        self._features = features.reshape(len(self.digests), 2, -1)


def write_shard(
    file: Path, digests: npt.NDArray[np.uint8], features: npt.NDArray[np.float32]
) -> None:
    """Writes a shard file atomically.

    Args:
        file: The file.
        digests: SHA-256 of n images, uint8 [n, 32].
        features: float32 [n, 2, F].

    Raises:
        OSError: It cannot be written.
    """
    parts = [np.ascontiguousarray(digests).tobytes(), np.asarray(features, "<f4").tobytes()]
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    with replacing(file) as temporary, temporary.open("wb") as opened:
        opened.writelines([*parts, _pack(checksum)])


def _content_blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yields what a file holds before its checksum."""
    left = os.fstat(file.fileno()).st_size - _CHECKSUM_BYTES
    while left > 0 and (block := file.read(min(left, _BLOCK_BYTES))):
        left -= len(block)
        yield block


def _pack(checksum: int) -> bytes:
    return checksum.to_bytes(_CHECKSUM_BYTES, "little")
