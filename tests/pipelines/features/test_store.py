"""Feature store: shards are complete or absent, and found by the digest of an image."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pipelines.features.feature_array import FeatureArray
from pipelines.features.store import FeatureFolder, FeatureStore
from pipelines.sources.columns import Digests

KEY = {"network": "abc", "view": 0}


def _digests(*names: str) -> np.ndarray:
    return Digests.hash(name.encode() for name in names).binary


def _has(folder: FeatureFolder, *names: str) -> bool:
    return bool((folder.locate(_digests(*names)) >= 0).all())


def _rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 2, 5)).astype(np.float32)


def test_written_features_are_read_back(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 1e9)
    images, rows = _digests(*"abcdef"), _rows(6)
    folder = store.open(KEY, 5)
    folder.write(images[:4], rows[:4])
    folder.write(images[4:], rows[4:])
    again = store.open(KEY, 5)
    assert _has(again, *"abcdef")
    assert not _has(again, "g")
    order = np.array([5, 0, 3, 3])
    found = FeatureArray([again], images[order])
    for pooling, expected in (
        ("avg", rows[order, 0]),
        ("max", rows[order, 1]),
        ("concatenated", rows[order].reshape(4, 10)),
    ):
        np.testing.assert_array_equal(found.read(pooling), expected)
    assert isinstance(again.shards[0].base, np.memmap)


def test_array_reads_the_same_from_disk_and_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FeatureStore(tmp_path, 1e9)
    images = _digests(*"abcdef")
    folders = []
    for view in range(3):
        folder = store.open({"view": view}, 5)
        for start in (0, 2, 4):
            folder.write(images[start : start + 2], _rows(2, seed=10 * view + start))
        folders.append(folder)
    held = FeatureArray(folders, images)
    monkeypatch.setattr("pipelines.features.feature_array._IN_MEMORY_BYTES", 0)
    mapped = FeatureArray(folders, images)
    chosen, views = np.array([4, 1, 1, 5]), np.array([0, 2, 1, 2])
    np.testing.assert_array_equal(
        mapped.read("concatenated", chosen, views), held.read("concatenated", chosen, views)
    )
    np.testing.assert_array_equal(held.read("avg", chosen, 2)[0], folders[2].shards[2][0, 0])


def test_each_key_has_a_folder_of_its_own(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 1e9)
    store.open(KEY, 5).write(_digests("a"), _rows(1))
    assert not _has(store.open({**KEY, "view": 1}, 5), "a")
    assert _has(store.open(dict(reversed(KEY.items())), 5), "a")


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "other shape"])
def test_damaged_shard_is_removed(tmp_path: Path, damage: str) -> None:
    store = FeatureStore(tmp_path, 1e9)
    folder = store.open(KEY, 5)
    folder.write(_digests("a", "b"), _rows(2))
    folder.write(_digests("c"), _rows(1))
    shard = max(folder.path.glob("*.npy"), key=lambda file: file.stat().st_size)
    content = shard.read_bytes()
    if damage == "other shape":
        np.save(shard, np.zeros(3))
    else:
        shard.write_bytes({"cut": content[:-7], "garbage": b"x" * 99, "empty": b""}[damage])
    again = store.open(KEY, 5)
    assert not _has(again, "a")
    assert _has(again, "c")
    assert not shard.exists()


def test_partial_shard_of_a_killed_job_is_ignored_and_removed_later(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 1e9)
    folder = store.open(KEY, 5).path
    partial = folder / ".name.0123abcd.npy"
    partial.write_bytes(b"half of one")
    assert not store.open(KEY, 5).shards
    store.evict([])
    assert partial.exists(), "another job may still be writing it"
    os.utime(partial, (1, 1))
    store.evict([])
    assert not partial.exists()


def test_eviction_removes_the_least_recently_used_and_spares_protected_folders(
    tmp_path: Path,
) -> None:
    store = FeatureStore(tmp_path, 1e9)
    folders = [store.open({"view": view}, 5) for view in range(4)]
    for view, folder in enumerate(folders):
        folder.write(_digests("a"), _rows(1))
        (file,) = folder.path.glob("*.npy")
        os.utime(file, (100 - view, 100 - view))  # the last one is the oldest
    size = file.stat().st_size
    store.open({"view": 2}, 5)  # marks it as used
    store.limit_bytes = 2 * size
    assert store.evict([folders[3]]) == 2 * size
    remaining = [bool(list(folder.path.glob("*.npy"))) for folder in folders]
    assert remaining == [False, False, True, True]
    assert [folder.path.exists() for folder in folders] == remaining
    store.limit_bytes = 0
    store.evict([folders[3]])
    assert [folder.path.exists() for folder in folders] == [False, False, False, True]
