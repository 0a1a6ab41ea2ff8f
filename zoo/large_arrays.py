"""Arrays that may be larger than memory: their numbers lie in a file of the cache."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from zoo.errors import ZooError
from zoo.files import cache_folder

MEMORY_BYTES = 2**30
"""Bytes of an array that is held in memory, at most."""

BLOCK_ROWS = 2**14
"""Rows that are worked on at a time, at most."""


def empty_floats(*shape: int) -> npt.NDArray[np.float32]:
    """Returns an array float32 whose values are yet to be set.

    Beyond 1 GiB it is mapped to a file without a name, which is gone with the array: the system
    then needs no more memory for it than there is. Where the disk does not take it, it is in
    memory after all.

    Args:
        *shape: Its sizes.
    """
    num_bytes = 4 * math.prod(shape)
    if num_bytes > MEMORY_BYTES:
        try:
            return np.frombuffer(_map_file(num_bytes), np.float32).reshape(shape)
        except (OSError, ZooError):
            pass
    return np.empty(shape, np.float32)


def row_blocks(num_rows: int) -> Iterator[slice]:
    """Yields slices of up to 16,384 rows, in order.

    Args:
        num_rows: Of all together.
    """
    for start in range(0, num_rows, BLOCK_ROWS):
        yield slice(start, min(start + BLOCK_ROWS, num_rows))


def _map_file(num_bytes: int) -> mmap.mmap:
    """Returns a mapped file of zeros.

    Raises:
        OSError: The disk does not take it.
        InputError: There is no folder for the cache.
    """
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            # Otherwise a disk that fills up later is a signal, not an error.
            os.posix_fallocate(file.fileno(), 0, num_bytes)
        else:
            file.truncate(num_bytes)
        return mmap.mmap(file.fileno(), num_bytes)
