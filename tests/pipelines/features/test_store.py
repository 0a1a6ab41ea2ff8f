"""Feature store: shards are complete or absent, and found by the digest of an image."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pipelines.features.feature_array import FeatureArray
from pipelines.features.shard_file import RowFormat
from pipelines.features.store import FeatureFolder, FeatureStore
from pipelines.sources.columns import Digests

KEY = {"network": "abc", "view": 0}
ROW = RowFormat((2, 5))


def _digests(*names: str) -> np.ndarray:
    return Digests.hash(name.encode() for name in names).binary


def _has(folder: FeatureFolder, *names: str) -> bool:
    return bool((folder.locate(_digests(*names)) >= 0).all())


def _rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 2, 5)).astype(np.float32)


def test_written_features_are_read_back(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 1e9)
    images, rows = _digests(*"abcdef"), _rows(6)
    folder = store.open(KEY, ROW)
    folder.write(images[:4], rows[:4])
    folder.write(images[4:], rows[4:])
    again = store.open(KEY, ROW)
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
    assert not again.shards[0].features.flags.owndata


def test_array_reads_the_same_from_disk_and_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FeatureStore(tmp_path, 1e9)
    images = _digests(*"abcdef")
    folders = []
    for view in range(3):
        folder = store.open({"view": view}, ROW)
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
    np.testing.assert_array_equal(
        held.read("avg", chosen, 2)[0], folders[2].shards[2].features[0, 0]
    )


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs /proc")
def test_released_shard_takes_no_memory_and_is_read_again(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(2000, 2, 500)).astype(np.float32)
    folder = FeatureStore(tmp_path, 1e9).open(KEY, RowFormat((2, 500)))
    folder.write(_digests(*map(str, range(len(rows)))), rows)
    (shard,) = folder.shards

    def resident_kib() -> int:
        lines = Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines()
        (start,) = (number for number, line in enumerate(lines) if str(shard.file) in line)
        return int(next(line for line in lines[start:] if line.startswith("Rss:")).split()[1])

    np.testing.assert_array_equal(shard.features, rows)
    assert resident_kib() > rows.nbytes / 2048
    shard.release()
    assert resident_kib() == 0
    np.testing.assert_array_equal(shard.features, rows)


def test_each_key_has_a_folder_of_its_own(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 1e9)
    store.open(KEY, ROW).write(_digests("a"), _rows(1))
    assert not _has(store.open({**KEY, "view": 1}, ROW), "a")
    assert _has(store.open(dict(reversed(KEY.items())), ROW), "a")


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "array", "one byte more"])
def test_damaged_shard_is_removed(tmp_path: Path, damage: str) -> None:
    store = FeatureStore(tmp_path, 1e9)
    folder = store.open(KEY, ROW)
    folder.write(_digests("a", "b"), _rows(2))
    folder.write(_digests("c"), _rows(1))
    shard = max(folder.path.glob("*.features"), key=lambda file: file.stat().st_size)
    content = shard.read_bytes()
    if damage == "array":
        with shard.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        changed = {"cut": content[:-7], "garbage": b"x" * 99, "empty": b""}
        shard.write_bytes(changed.get(damage, content + b"x"))
    again = store.open(KEY, ROW)
    assert not _has(again, "a")
    assert _has(again, "c")
    assert not shard.exists()


def test_every_flipped_bit_of_a_shard_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = FeatureStore(tmp_path, 1e9)
    images, rows = _digests(*"abcd"), _rows(4)
    folder = store.open(KEY, ROW)
    folder.write(images, rows)
    (file,) = folder.path.glob("*.features")
    content = file.read_bytes()
    num_bits = 8 * len(content)
    assert num_bits > 1536
    for bit in range(num_bits):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        again = store.open(KEY, ROW)
        # Of an image whose digest is the damaged one, the shard is not asked at all.
        found = again.locate(images)[:, 0] >= 0
        assert not found.any()
        assert not again.shards
        assert not file.exists()
    again.write(images, rows)
    np.testing.assert_array_equal(FeatureArray([again], images).read("avg"), rows[:, 0])
    assert file.read_bytes() == content
    said = capsys.readouterr().err.splitlines()
    assert len(said) == num_bits
    assert said[0].endswith("cannot be used: another checksum; its features are computed again")


@pytest.mark.parametrize("change", ["negated", "swapped", "of another shard", "zeros"])
def test_other_rows_in_a_shard_are_found(tmp_path: Path, change: str) -> None:
    store = FeatureStore(tmp_path, 1e9)
    images, rows = _digests(*"abcd"), _rows(4)
    folder = store.open(KEY, ROW)
    folder.write(images, rows)
    (file,) = folder.path.glob("*.features")
    content = bytearray(file.read_bytes())
    other = {
        "negated": -rows,
        "swapped": rows[::-1],
        "of another shard": _rows(4, seed=1),
        "zeros": np.zeros_like(rows),
    }[change]
    content[4 * 32 : -4] = other.astype("<f4").tobytes()
    file.write_bytes(content)
    assert not _has(store.open(KEY, ROW), "a")


def test_shards_that_are_not_asked_for_are_not_read(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 1e9)
    folder = store.open(KEY, ROW)
    folder.write(_digests("a"), _rows(1))
    folder.write(_digests("b"), _rows(1))
    again = store.open(KEY, ROW)
    found = again.locate(_digests("a", "c"))[:, 0]
    assert found[1] == -1
    again.shards[found[0]].features  # noqa: B018  does not raise
    with pytest.raises(ValueError, match="not loaded"):
        again.shards[1 - found[0]].features  # noqa: B018


def test_shards_of_earlier_formats_are_evicted(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 1e9)
    folder = store.open(KEY, ROW)
    np.save(folder.path / "old.npy", _rows(4))
    assert not store.open(KEY, ROW).shards
    store.limit_bytes = 0
    assert store.evict([]) > 160
    assert not folder.path.exists()


def test_partial_shard_of_a_killed_job_is_ignored_and_removed_later(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 1e9)
    folder = store.open(KEY, ROW).path
    partial = folder / ".name.0123abcd.features"
    partial.write_bytes(b"half of one")
    assert not store.open(KEY, ROW).shards
    store.evict([])
    assert partial.exists(), "another job may still be writing it"
    os.utime(partial, (1, 1))
    store.evict([])
    assert not partial.exists()


def test_eviction_removes_the_least_recently_used_and_spares_protected_folders(
    tmp_path: Path,
) -> None:
    store = FeatureStore(tmp_path, 1e9)
    folders = [store.open({"view": view}, ROW) for view in range(4)]
    for view, folder in enumerate(folders):
        folder.write(_digests("a"), _rows(1))
        (file,) = folder.path.glob("*.features")
        os.utime(file, (100 - view, 100 - view))  # the last one is the oldest
    size = file.stat().st_size
    store.open({"view": 2}, ROW)  # marks it as used
    store.limit_bytes = 2 * size
    assert store.evict([folders[3]]) == 2 * size
    remaining = [bool(list(folder.path.glob("*.features"))) for folder in folders]
    assert remaining == [False, False, True, True]
    assert [folder.path.exists() for folder in folders] == remaining
    store.limit_bytes = 0
    store.evict([folders[3]])
    assert [folder.path.exists() for folder in folders] == [False, False, False, True]
