"""Shard file: the features of some images in one view, with a checksum over all of its bytes.

    digests    uint8 [n, 32]    SHA-256 of the images
    features   [n, P, F]        little-endian, P poolings in their order
    checksum   uint32 []        CRC-32 of all before it, little-endian

There is no header to be damaged: n follows from the file's size, the rest from the network.
"""

from __future__ import annotations

import math
import mmap
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from zoo.files import replacing

_DIGEST_BYTES, _CHECKSUM_BYTES = 32, 4
_BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class RowFormat:
    """What is stored of each image.

    Args:
        shape: P poolings and F features of each.
        dtype: `float32`, or `float16`.
    """

    shape: tuple[int, int]
    dtype: str = "float32"

    @property
    def num_bytes(self) -> int:
        """Bytes of one image's features."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def array(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns rows [n, P, F] as they are stored, contiguous and little-endian.

        Args:
            rows: Numbers; those too large for the dtype become infinite.
        """
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(rows, np.dtype(self.dtype).newbyteorder("<"))


class Shard:
    """Features of n images, read from a file when they are first needed.

    Args:
        digests: SHA-256 of the images, uint8 [n, 32].
        row: What is stored of each.
        features: [n, P, F]; None reads them from `file`.
        file: The shard file.
    """

    def __init__(
        self,
        digests: npt.NDArray[np.uint8],
        row: RowFormat,
        features: npt.NDArray[Any] | None = None,
        file: Path | None = None,
    ) -> None:
        self.digests, self.row, self.file = digests, row, file
        self._features = features
        self._mapped: mmap.mmap | None = None

    @classmethod
    def open(cls, file: Path, row: RowFormat) -> Shard:
        """Opens a shard file and reads its digests, which are not verified yet.

        Args:
            file: The file.
            row: What is stored of each image.

        Raises:
            OSError: It cannot be read.
            ValueError: It has another size than any number of images needs.
        """
        size = file.stat().st_size - _CHECKSUM_BYTES
        num_images, rest = divmod(size, _DIGEST_BYTES + row.num_bytes)
        if num_images < 1 or rest:
            raise ValueError(f"{size + _CHECKSUM_BYTES:,} bytes")
        digests = np.fromfile(file, np.uint8, num_images * _DIGEST_BYTES)
        return cls(digests.reshape(num_images, _DIGEST_BYTES), row, file=file)

    @property
    def features(self) -> npt.NDArray[Any]:
        """[n, P, F], memory-mapped where they have a file.

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
            mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        content = np.frombuffer(mapped, np.uint8)
        start = self.digests.size
        if not np.array_equal(content[:start], self.digests.reshape(-1)):
            raise ValueError("other images")
        features = content[start:-_CHECKSUM_BYTES].view(np.dtype(self.row.dtype).newbyteorder("<"))
        self._features = features.reshape(len(self.digests), *self.row.shape)
        self._mapped = mapped

    def release(self) -> None:
        """Gives back the memory of what was read of a mapped file; it is read again when needed."""
        if self._mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._mapped.madvise(mmap.MADV_DONTNEED)


def write_shard(file: Path, digests: npt.NDArray[np.uint8], features: npt.NDArray[Any]) -> None:
    """Writes a shard file atomically.

    Args:
        file: The file.
        digests: SHA-256 of n images, uint8 [n, 32].
        features: [n, P, F], of `RowFormat.array`.

    Raises:
        OSError: It cannot be written.
    """
    parts = [np.ascontiguousarray(digests).tobytes(), features.tobytes()]
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
