"""Ledger: unchanged files are not read again, changed ones are; damage to it harms nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.sources.columns import ByteStrings, Files
from pipelines.sources.config import DataConfig
from pipelines.sources.examining.scan_table import ROW
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.scanning import scan
from pipelines.sources.scanning.ledger import _HEADER, _MAGIC, STAT, Ledger, hash_paths, stat_files
from pipelines.sources.source import Source
from tests.support.photographs import Fill, encode, photo

AGED_NS = 10**10


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("ZOO_CACHE", str(folder))
    return folder


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the files of a test count as older than the resolution of the clock."""
    monkeypatch.setattr("pipelines.sources.scanning.ledger._UNSETTLED_NS", -AGED_NS)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read, as they are."""
    read, names = scan._read, []

    def record(path: bytes) -> object:
        names.append(os.path.basename(os.fsdecode(path)))
        return read(path)

    monkeypatch.setattr(scan, "_read", record)
    return names


def _facts(source: Source) -> object:
    parts = source.splits.items()
    return (
        [(split, tuple(e.names), tuple(e.digests), e.shapes.tolist()) for split, e in parts],
        source.skipped,
        source.outliers,
        source.digest,
    )


def _data(fill: Fill) -> str:
    fill("ants", 20, notes__txt=b"remember the honey")
    return str(fill("bees", 20, cut__jpg=encode(photo(1))[:-300]))


@pytest.mark.usefixtures("settled")
def test_second_run_reads_nothing_and_finds_the_same(
    fill: Fill, cache: Path, reads: list[str]
) -> None:
    data = _data(fill)
    first = _facts(open_source(data))
    assert len(reads) == 42
    assert _facts(open_source(data)) == first
    assert len(reads) == 42
    assert _facts(open_source(data, DataConfig(verify="content"))) == first
    assert len(reads) == 84
    (file,) = (cache / "ledger").iterdir()
    file.unlink()
    assert _facts(open_source(data)) == first
    assert len(reads) == 126


def test_file_that_has_just_changed_is_read_again(
    fill: Fill, cache: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.sources.scanning.ledger._UNSETTLED_NS", 10**12)
    data = _data(fill)
    open_source(data)
    open_source(data)
    assert len(reads) == 84


@pytest.mark.usefixtures("settled", "cache")
@pytest.mark.parametrize("how", ["content", "size", "moved here", "times set back"])
def test_changed_file_is_read_again(fill: Fill, reads: list[str], how: str) -> None:
    data = _data(fill)
    file = Path(data, "ants", "0000.jpg")
    before = file.stat()
    open_source(data)
    reads.clear()
    content = encode(photo(77, (12, 10)))
    if how == "moved here":
        other = file.with_name(".other")
        other.write_bytes(content)
        os.replace(other, file)
    else:
        time.sleep(0.02)
        file.write_bytes(content + (b" " if how == "size" else b""))
    if how == "times set back":
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    source = open_source(data)
    assert reads == [file.name]
    digests = {d for part in source.splits.values() for d in part.digests}
    assert hashlib.sha256(file.read_bytes()).hexdigest() in digests


@pytest.mark.usefixtures("settled", "cache")
def test_added_and_removed_files_are_seen(fill: Fill, reads: list[str]) -> None:
    data = _data(fill)
    open_source(data)
    reads.clear()
    fill("bees", 0, new__jpg=encode(photo(5)))
    assert any("bees/new.jpg" in e.names for e in open_source(data).splits.values())
    assert reads == ["new.jpg"]
    Path(data, "bees", "new.jpg").unlink()
    assert not any("bees/new.jpg" in e.names for e in open_source(data).splits.values())
    assert reads == ["new.jpg"]


@pytest.mark.usefixtures("settled")
def test_ledger_of_other_rules_is_discarded(
    fill: Fill, cache: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = _data(fill)
    open_source(data)
    reads.clear()
    monkeypatch.setattr(scan, "examination_rules", lambda: "others")
    open_source(data)
    assert len(reads) == 42
    open_source(data)
    assert len(reads) == 42


def _entries(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    paths = hash_paths(ByteStrings.of(f"{seed}/{i}".encode() for i in range(count)))
    stats = np.zeros(count, STAT)
    for field in STAT.names:
        stats[field] = rng.integers(0, 10**9, count)
    rows = np.zeros(count, ROW)
    rows["width"], rows["sha256"] = rng.integers(0, 9999, count), rng.integers(0, 256, (count, 32))
    return paths, stats, rows, np.full(count, 10**15)


def _append(root: Path, *parts: tuple[np.ndarray, ...], text: str = "") -> Ledger:
    ledger = Ledger(str(root), "1")
    for paths, stats, rows, read_ns in parts:
        rows["problem"] = ledger.codes.code(text)
        ledger.add(paths, stats, rows, read_ns)
        ledger.flush()
    return ledger


Damage = Callable[[bytes], bytes]


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("damage", "left"),
    [
        (lambda content: content[:-1], [True, True, False]),
        (lambda content: content[: len(content) // 2], [True, False, False]),
        (lambda content: content[:150], [False, False, False]),
        (lambda content: b"", [False, False, False]),
        (lambda content: content[:-50] + b"\0" * 50, [True, True, False]),
        (lambda content: content[:900] + b"?" + content[901:], [False, True, True]),
    ],
)
def test_damaged_block_is_skipped(tmp_path: Path, damage: Damage, left: list[bool]) -> None:
    parts = [_entries(30, seed) for seed in range(3)]
    ledger = _append(tmp_path, *parts)
    ledger.path.write_bytes(damage(ledger.path.read_bytes()))
    again = Ledger(str(tmp_path), "1")
    assert [bool(again.find(paths, stats)[0].all()) for paths, stats, *_ in parts] == left
    # What is appended behind the damage is found.
    more = _entries(5, seed=9)
    _append(tmp_path, more)
    known, rows = Ledger(str(tmp_path), "1").find(more[0], more[1])
    assert known.all()
    np.testing.assert_array_equal(rows["sha256"], more[2]["sha256"])


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("count", "texts"),
    [
        *((5, b'["", 3]'), (5, b"{}"), (5, b"[" * 999), (5, b'[""]')),
        *((4, b'["", "cut off"]'), (2**31, b'["", "cut off"]')),
    ],
)
def test_block_that_tells_of_other_contents_is_skipped(
    count: int, texts: bytes, tmp_path: Path
) -> None:
    paths, stats, *rest = _entries(5)
    ledger = _append(tmp_path, (paths, stats, *rest), text="cut off")
    content = ledger.path.read_bytes()
    head = content.index(b"\n") + 1
    body = (
        content[head + _HEADER.size :].removesuffix(b'["", "cut off"]').removesuffix(b'["cut off"]')
        + texts
    )
    packed = _HEADER.pack(_MAGIC, count, len(texts), zlib.crc32(body))
    ledger.path.write_bytes(content[:head] + packed + body)
    assert not Ledger(str(tmp_path), "1").find(paths, stats)[0].any()


@pytest.mark.usefixtures("cache")
def test_texts_of_several_jobs_are_kept_apart(tmp_path: Path) -> None:
    one, two = _entries(3, 1), _entries(3, 2)
    first, second = Ledger(str(tmp_path), "1"), Ledger(str(tmp_path), "1")
    for ledger, (paths, stats, rows, read_ns), text in (
        (first, one, "cut off"),
        (second, two, "empty file"),
    ):
        rows["problem"] = ledger.codes.code(text)
        ledger.add(paths, stats, rows, read_ns)
    second.flush()
    first.flush()
    ledger = Ledger(str(tmp_path), "1")
    for (paths, stats, *_), text in ((one, "cut off"), (two, "empty file")):
        known, rows = ledger.find(paths, stats)
        assert known.all()
        assert {ledger.codes.texts[code] for code in rows["problem"]} == {text}


@pytest.mark.usefixtures("cache")
def test_last_entry_counts_and_old_ones_are_removed_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.sources.scanning.ledger._COMPACTED_FROM", 10)
    paths, stats, rows, read_ns = _entries(10)
    ledger = _append(tmp_path, (paths, stats, rows, read_ns))
    size = ledger.path.stat().st_size
    changed = stats.copy()
    changed["modified_ns"] += 1
    rows["width"] = 7
    ledger = _append(tmp_path, (paths, changed, rows, read_ns))
    assert ledger.path.stat().st_size > 1.5 * size
    ledger.compact()
    assert ledger.path.stat().st_size == size
    again = Ledger(str(tmp_path), "1")
    assert not again.find(paths, stats)[0].any()
    known, found = again.find(paths, changed)
    assert known.all()
    assert (found["width"] == 7).all()


def test_cache_that_cannot_be_written_does_not_stop_the_job(
    fill: Fill, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path_factory.mktemp("cache") / "file"
    file.write_bytes(b"")
    monkeypatch.setenv("ZOO_CACHE", str(file))
    assert len(open_source(_data(fill)).train) == 32


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_ledger_that_is_no_file_is_left_alone(kind: str, tmp_path: Path) -> None:
    path = Ledger(str(tmp_path), "1").path
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "link":
        (tmp_path / "precious").write_text("precious")
        path.symlink_to(tmp_path / "precious")
    else:
        os.mkfifo(path)
    ledger = _append(tmp_path, _entries(5))
    assert ledger.num_entries == 0
    if kind == "link":
        assert (tmp_path / "precious").read_text() == "precious"


def test_stat_of_what_is_no_file_is_minus_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"four")
    stats = stat_files(Files(str(tmp_path), ByteStrings.of([b"a", b"missing", b"."])))
    assert stats["size"].tolist() == [4, -1, -1]


WRITER = """
import sys
from tests.pipelines.sources.scanning.test_ledger import _append, _entries
first = int(sys.argv[2])
_append(sys.argv[1], *(_entries(30, seed) for seed in range(first, first + 40)))
"""


@pytest.mark.usefixtures("cache")
def test_jobs_that_write_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    _append(tmp_path, _entries(1, 999))
    jobs = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(first)])
        for first in (0, 100, 200)
    ]
    assert [job.wait() for job in jobs] == [0, 0, 0]
    ledger = Ledger(str(tmp_path), "1")
    assert ledger.num_entries == 3 * 40 * 30 + 1
    for seed in (0, 139, 239):
        paths, stats, rows, _ = _entries(30, seed)
        known, found = ledger.find(paths, stats)
        assert known.all()
        np.testing.assert_array_equal(found["sha256"], rows["sha256"])
