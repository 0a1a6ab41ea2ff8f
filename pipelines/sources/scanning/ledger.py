"""Ledger of files that were examined: an unchanged file is not read again.

    CACHE/ledger/<root>.ledger    what was found in the files below one folder

A file counts as unchanged while its size, its times of change and its inode are those that
it had when it was read, as in git's index. A file that changed within two seconds before it was
read is not entered: it might change once more without its times showing it.

The ledger holds nothing that reading the files does not find again, so it may be removed at
any time. It is a file of blocks that jobs append to. A block has a checksum: the part that a
killed job wrote of its last one is skipped, as is one damaged in any other way, and jobs that
append at the same time leave whole blocks in any order. Of several entries for a file, the
last one counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import struct
import time
import zlib
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from pipelines.sources.columns import ByteStrings, Files, KeyIndex
from pipelines.sources.examining.scan_table import ROW, TextCodes, fit_texts, used_texts
from zoo.files import cache_folder, open_to_read, open_to_write, replacing
from zoo.reading import parse_json

if TYPE_CHECKING:
    import numpy.typing as npt

STAT = np.dtype([(name, "<i8") for name in ("size", "modified_ns", "changed_ns", "inode")])
"""What says whether a file is still the one that was read; -1 where there is no file."""

NO_FILE = (-1, -1, -1, -1)
"""STAT of what is missing, cannot be read or is no regular file."""

_ENTRY = np.dtype([("path", "u1", 16), ("stat", STAT), ("row", ROW)])
_MAGIC = b"\x93zoo ledger block"
_HEADER = struct.Struct(f"<{len(_MAGIC)}sIII")  # magic, rows, bytes of the texts, checksum
_UNSETTLED_NS = 2 * 10**9
"""Longest resolution of a file system's clock, that of FAT."""
_FLUSH_ENTRIES, _FLUSH_S = 4096, 5.0
_COMPACTED_FROM = 10_000
"""Entries from which on a ledger is written anew once half of them are out of date."""


class Ledger:
    """What was found in the files below a folder.

    Args:
        root: The folder.
        rules: Names the rules of the examination; the entries of others are discarded.

    Attributes:
        codes: Numbers of the texts in the rows of all entries.
    """

    def __init__(self, root: str, rules: str) -> None:
        self._version = f"ledger 1, {rules}, {_ENTRY.descr}\n".encode()
        real = os.path.realpath(root or ".")
        name = hashlib.sha256(os.fsencode(real)).hexdigest()[:32]
        self.path = cache_folder() / "ledger" / f"{name}.ledger"
        self.codes = TextCodes()
        self._entries = self._load()
        self._pending: list[npt.NDArray[np.void]] = []
        self._has_grown = False
        self._flushed = time.monotonic()

    @property
    def num_entries(self) -> int:
        """Entries when the ledger was opened."""
        return len(self._entries)

    def find(
        self, paths: npt.NDArray[np.uint8], stats: npt.NDArray[np.void]
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.void]]:
        """Returns which files are unchanged since they were examined, and what was found.

        Args:
            paths: `hash_paths` of N files, uint8 [N, 16].
            stats: STAT [N].

        Returns:
            bool [N]; and ROW [N], of zeros where a file is new or changed.
        """
        found = KeyIndex(self._entries["path"]).find(paths)
        rows = np.zeros(len(paths), ROW)
        known = found >= 0
        # Field by field: NumPy compares structures slowly.
        for field in STAT.names or ():
            known[known] = self._entries["stat"][field][found[known]] == stats[field][known]
        rows[known] = self._entries["row"][found[known]]
        return known, rows

    def add(
        self,
        paths: npt.NDArray[np.uint8],
        stats: npt.NDArray[np.void],
        rows: npt.NDArray[np.void],
        read_ns: npt.NDArray[np.int64],
    ) -> None:
        """Enters files, all but those that had just changed.

        Args:
            paths: `hash_paths` of n files, uint8 [n, 16].
            stats: STAT [n], from before the files were read.
            rows: ROW [n], with the texts of `codes`.
            read_ns: int64 [n], when each file was read, by `time.time_ns`.
        """
        settled = are_settled(stats, read_ns)
        entries = np.empty(int(settled.sum()), _ENTRY)
        entries["path"], entries["stat"] = paths[settled], stats[settled]
        entries["row"] = rows[settled]
        if len(entries):
            self._pending.append(entries)
        count = sum(map(len, self._pending))
        if count >= _FLUSH_ENTRIES or time.monotonic() - self._flushed > _FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Writes the entries that were added since the last call, if the cache can be written."""
        self._flushed = time.monotonic()
        if not self._pending:
            return
        block = self._block(np.concatenate(self._pending))
        self._pending, self._has_grown = [], True
        with contextlib.suppress(OSError):
            if not self._is_current():
                self._write(b"")
            # In one call, so that the blocks of several jobs do not mix.
            with open_to_write(self.path, append=True) as file:
                os.write(file.fileno(), block)
                os.fsync(file.fileno())

    def compact(self) -> None:
        """Writes the ledger anew if half of its entries are out of date."""
        self.flush()
        if not self._has_grown:
            return
        entries = self._load()
        if len(entries) < _COMPACTED_FROM:
            return
        last = np.unique(KeyIndex(entries["path"]).find(entries["path"]))
        if 2 * len(last) <= len(entries):
            # What another job appends meanwhile is lost, and examined again.
            with contextlib.suppress(OSError):
                self._write(self._block(entries[last]))

    def _write(self, blocks: bytes) -> None:
        with replacing(self.path) as temporary:
            temporary.write_bytes(self._version + blocks)

    def _is_current(self) -> bool:
        try:
            with open_to_read(self.path) as file:
                return file.read(len(self._version)) == self._version
        except OSError:
            return False

    def _block(self, entries: npt.NDArray[np.void]) -> bytes:
        entries = entries.copy()
        entries["row"], used = used_texts(entries["row"], self.codes.texts)
        texts = json.dumps(used).encode()
        content = entries.tobytes() + texts
        return _HEADER.pack(_MAGIC, len(entries), len(texts), zlib.crc32(content)) + content

    def _load(self) -> npt.NDArray[np.void]:
        """Returns the entries of all whole blocks."""
        count = 0
        try:
            with open_to_read(self.path) as file:
                entries = np.empty(os.fstat(file.fileno()).st_size // _ENTRY.itemsize, _ENTRY)
                if file.read(len(self._version)) == self._version:
                    for block, texts in _blocks(file):
                        found = entries[count : count + len(block)]
                        if len(found) < len(block):
                            break  # another job is appending
                        found[:] = block
                        self.codes.recode(found["row"], texts)
                        count += len(block)
        except OSError:
            return np.empty(0, _ENTRY)
        return entries[:count]


def _blocks(file: BinaryIO) -> Iterator[tuple[npt.NDArray[np.void], tuple[str, ...]]]:
    """Yields the entries and the texts of each whole block from the position of a file on."""
    position, end = file.tell(), os.fstat(file.fileno()).st_size
    while position >= 0:
        file.seek(position)
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return
        magic, num_entries, text_size, checksum = _HEADER.unpack(header)
        size = num_entries * _ENTRY.itemsize
        is_whole = magic == _MAGIC and file.tell() + size + text_size <= end
        body = file.read(size + text_size) if is_whole else b""
        texts = _read_texts(body[size:]) if is_whole and zlib.crc32(body) == checksum else None
        entries = np.frombuffer(body, _ENTRY, num_entries if texts is not None else 0)
        if texts is not None and fit_texts(entries["row"], texts):
            yield entries, texts
            position += _HEADER.size + len(body)
        else:
            # Cut off: the block of another job may follow at any place.
            position = _find_magic(file, position + 1)


def _read_texts(packed: bytes) -> tuple[str, ...] | None:
    """Returns the texts of a block, or None if they are none."""
    try:
        texts = parse_json(packed)
    except ValueError:
        return None
    is_texts = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    return tuple(texts) if is_texts else None


def _find_magic(file: BinaryIO, position: int) -> int:
    """Returns where the next block may start, -1 if none does."""
    file.seek(position)
    rest = b""
    while part := file.read(2**20):
        rest += part
        if (found := rest.find(_MAGIC)) >= 0:
            return position + found
        position += len(rest) - len(_MAGIC) + 1 if len(rest) >= len(_MAGIC) else 0
        rest = rest[1 - len(_MAGIC) :] if len(rest) >= len(_MAGIC) else rest
    return -1


def stat_files(files: Files) -> npt.NDArray[np.void]:
    """Returns the STAT [N] of files, -1 for those that are missing or no regular files."""
    values = array("q")
    for path in files.paths():
        values.extend(stat_values(path))
    return np.frombuffer(values.tobytes(), STAT)


def stat_values(path: bytes | int) -> tuple[int, int, int, int]:
    """Returns the fields of STAT for a path or an open file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return NO_FILE
    if not stat.S_ISREG(found.st_mode):
        return NO_FILE
    inode = found.st_ino & 0x7FFFFFFFFFFFFFFF  # 64 bits on some systems, without a sign
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, inode


def are_settled(
    stats: npt.NDArray[np.void], read_ns: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Returns for which files a later change will show in their STAT, bool [N].

    Args:
        stats: STAT [N], from before the files were read.
        read_ns: int64 [N], when each was read, by `time.time_ns`.
    """
    changed = np.maximum(stats["modified_ns"], stats["changed_ns"])
    return (stats["size"] >= 0) & (changed < read_ns - _UNSETTLED_NS)


def stamp_files(stats: npt.NDArray[np.void]) -> npt.NDArray[np.uint64]:
    """Returns a number for each file that changes when its STAT does, uint64 [N]; never 0.

    Args:
        stats: STAT [N].
    """
    stamps = np.zeros(len(stats), np.uint64)
    for field in STAT.names or ():
        # The finalizer of SplitMix64, which changes each bit with half of the input's bits.
        stamps += stats[field].astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            stamps = (stamps ^ (stamps >> np.uint64(shift))) * np.uint64(factor)
        stamps ^= stamps >> np.uint64(31)
    return np.maximum(stamps, np.uint64(1))


def hash_paths(paths: ByteStrings) -> npt.NDArray[np.uint8]:
    """Returns a key for each path, uint8 [N, 16]."""
    keys = bytearray()
    for path in paths:
        keys += hashlib.blake2b(path, digest_size=16).digest()
    return np.frombuffer(bytes(keys), np.uint8).reshape(-1, 16)
