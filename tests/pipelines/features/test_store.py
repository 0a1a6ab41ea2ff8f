"""Store: shards that are whole or not there, found by what images hold."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from pipelines.features.feature_array import Features
from pipelines.features.store import FeatureStore

KEY = {"network": "abc", "view": 0}


def _digests(*names: str) -> list[str]:
    return [hashlib.sha256(name.encode()).hexdigest() for name in names]


def _rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 2, 5)).astype(np.float32)


def test_what_was_written_is_found_again(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 1e9)
    images, rows = _digests(*"abcdef"), _rows(6)
    space = store.space(KEY, 5)
    space.write(images[:4], rows[:4])
    space.write(images[4:], rows[4:])
    again = store.space(KEY, 5)
    assert all(image in again for image in images)
    assert _digests("g")[0] not in again
    order = np.array([5, 0, 3, 3])
    found = Features([again], [images[i] for i in order])
    for pooling, expected in (
        ("avg", rows[order, 0]),
        ("max", rows[order, 1]),
        ("concatenated", rows[order].reshape(4, 10)),
    ):
        np.testing.assert_array_equal(found.read(pooling), expected)
    assert isinstance(again.shards[0].base, np.memmap)


def test_reading_from_disk_is_reading_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FeatureStore(tmp_path, 1e9)
    images = _digests(*"abcdef")
    spaces = []
    for view in range(3):
        space = store.space({"view": view}, 5)
        for start in (0, 2, 4):
            space.write(images[start : start + 2], _rows(2, seed=10 * view + start))
        spaces.append(space)
    held = Features(spaces, images)
    monkeypatch.setattr("pipelines.features.feature_array._IN_MEMORY_BYTES", 0)
    mapped = Features(spaces, images)
    chosen, views = np.array([4, 1, 1, 5]), np.array([0, 2, 1, 2])
    np.testing.assert_array_equal(
        mapped.read("concatenated", chosen, views), held.read("concatenated", chosen, views)
    )
    np.testing.assert_array_equal(held.read("avg", chosen, 2)[0], spaces[2].shards[2][0, 0])


def test_another_key_is_another_space(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 1e9)
    store.space(KEY, 5).write(_digests("a"), _rows(1))
    assert _digests("a")[0] not in store.space({**KEY, "view": 1}, 5)
    assert _digests("a")[0] in store.space(dict(reversed(KEY.items())), 5)


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "other shape"])
def test_damaged_shard_is_forgotten(tmp_path: Path, damage: str) -> None:
    store = FeatureStore(tmp_path, 1e9)
    space = store.space(KEY, 5)
    space.write(_digests("a", "b"), _rows(2))
    space.write(_digests("c"), _rows(1))
    shard = max(space.folder.glob("*.npy"), key=lambda file: file.stat().st_size)
    content = shard.read_bytes()
    if damage == "other shape":
        np.save(shard, np.zeros(3))
    else:
        shard.write_bytes({"cut": content[:-7], "garbage": b"x" * 99, "empty": b""}[damage])
    again = store.space(KEY, 5)
    assert _digests("a")[0] not in again
    assert _digests("c")[0] in again
    assert not shard.exists()


def test_half_a_shard_of_a_killed_job_is_no_shard(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 1e9)
    folder = store.space(KEY, 5).folder
    half = folder / ".name.0123abcd.npy"
    half.write_bytes(b"half of one")
    assert not store.space(KEY, 5).shards
    store.evict([])
    assert half.exists(), "another job may be writing it at this moment"
    os.utime(half, (1, 1))
    store.evict([])
    assert not half.exists()


def test_the_longest_unused_go_first_and_a_jobs_own_stay(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 1e9)
    spaces = [store.space({"view": view}, 5) for view in range(4)]
    for view, space in enumerate(spaces):
        space.write(_digests("a"), _rows(1))
        (file,) = space.folder.glob("*.npy")
        os.utime(file, (100 - view, 100 - view))  # the last is the oldest
    size = file.stat().st_size
    store.space({"view": 2}, 5)  # a use of it
    store.limit_bytes = 2 * size
    assert store.evict([spaces[3]]) == 2 * size
    there = [bool(list(space.folder.glob("*.npy"))) for space in spaces]
    assert there == [False, False, True, True]
    assert [space.folder.exists() for space in spaces] == there
    store.limit_bytes = 0
    store.evict([spaces[3]])
    assert [space.folder.exists() for space in spaces] == [False, False, False, True]
