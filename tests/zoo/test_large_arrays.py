"""Large arrays lie in files without a name, and are arrays like any other."""

from __future__ import annotations

import errno
import gc
import os
from pathlib import Path

import numpy as np
import pytest

from zoo import large_arrays
from zoo.large_arrays import empty_floats, row_blocks


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(large_arrays, "MEMORY_BYTES", 1000)
    return tmp_path / "cache"


def _maps_of(folder: Path) -> list[str]:
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if str(folder) in line]


def test_array_beyond_the_limit_lies_in_a_file_that_goes_with_it(cache: Path) -> None:
    array = empty_floats(3, 11, 13)
    assert len(_maps_of(cache)) == 1
    assert not list(cache.iterdir()), "it has no name"
    values = np.random.default_rng(0).normal(size=array.shape).astype(np.float32)
    array[:] = values
    np.testing.assert_array_equal(array, values)
    np.testing.assert_array_equal(array[1].T @ array[2], values[1].T @ values[2])
    del array
    gc.collect()
    assert not _maps_of(cache)


def test_array_within_the_limit_is_in_memory(cache: Path) -> None:
    array = empty_floats(10, 25)
    assert (array.shape, array.dtype, array.flags.owndata) == ((10, 25), np.float32, True)
    assert not cache.exists()


@pytest.mark.parametrize("place", ["full disk", "no folder"])
def test_array_is_in_memory_where_the_disk_does_not_take_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if place == "full disk":
        monkeypatch.setattr(os, "posix_fallocate", refuse)
    else:
        cache.touch()
    array = empty_floats(10, 26)
    array[:] = 1
    assert array.sum() == 260
    assert not _maps_of(cache)


@pytest.mark.parametrize("num_rows", [0, 1, 7, 8, 23])
def test_blocks_are_all_rows_in_order(monkeypatch: pytest.MonkeyPatch, num_rows: int) -> None:
    monkeypatch.setattr(large_arrays, "BLOCK_ROWS", 8)
    blocks = [range(num_rows)[block] for block in row_blocks(num_rows)]
    assert all(1 <= len(block) <= 8 for block in blocks)
    assert [row for block in blocks for row in block] == list(range(num_rows))
