"""Flushes to the disk: what is moved into place is on it before, its name after."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from pipelines.sources.examining.scan_table import ROW
from pipelines.sources.scanning.ledger import STAT, Ledger
from pipelines.storage.claim import claim_folder
from zoo.disk_sync import make_folders, sync_folder, sync_tree
from zoo.errors import StorageError
from zoo.files import placing_folder, replacing, write_text


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, str]]:
    """What was flushed and moved, in order: the call, and its path below `tmp_path`.

    A temporary name is `TEMPORARY`.
    """
    seen: list[tuple[str, str]] = []

    def relative(path: str) -> str:
        parts = Path(os.path.relpath(path, tmp_path)).parts
        return "/".join("TEMPORARY" if part.startswith(".") and part != "." else part
                        for part in parts) or "."  # fmt: skip

    def record(name: str, path_of: Callable[[Any], str]) -> None:
        original = getattr(os, name)

        def call(*arguments: Any) -> None:
            seen.append((name, relative(path_of(arguments[0]))))
            original(*arguments)

        monkeypatch.setattr(os, name, call)

    record("fsync", lambda descriptor: os.readlink(f"/proc/self/fd/{descriptor}"))
    record("replace", str)
    record("rename", str)
    return seen


def test_file_is_flushed_before_it_has_its_name_and_its_folder_after(
    calls: list[tuple[str, str]], tmp_path: Path
) -> None:
    write_text(tmp_path / "a", "text")
    assert calls == [("fsync", "TEMPORARY"), ("replace", "TEMPORARY"), ("fsync", ".")]


def test_folder_is_flushed_whole_before_it_has_its_name(
    calls: list[tuple[str, str]], tmp_path: Path
) -> None:
    with placing_folder(tmp_path / "model" / "1") as folder:
        (folder / "variables").mkdir()
        (folder / "variables" / "data").write_text("weights")
        (folder / "saved_model.pb").write_text("graph")
    assert calls == [
        ("fsync", "."),
        ("fsync", "model/TEMPORARY/variables/data"),
        ("fsync", "model/TEMPORARY/variables"),
        ("fsync", "model/TEMPORARY/saved_model.pb"),
        ("fsync", "model/TEMPORARY"),
        ("rename", "model/TEMPORARY"),
        ("fsync", "model"),
    ]


def test_new_folders_are_flushed_into_their_parents(
    calls: list[tuple[str, str]], tmp_path: Path
) -> None:
    made = make_folders(tmp_path / "a" / "b")
    assert made == [tmp_path / "a" / "b", tmp_path / "a"]
    assert calls == [("fsync", "a"), ("fsync", ".")]
    assert make_folders(tmp_path / "a" / "b") == []
    with claim_folder(tmp_path / "run"):
        assert calls[2:] == [("fsync", ".")]


def test_entries_of_a_ledger_are_flushed(
    calls: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    ledger = Ledger(str(tmp_path), "rules")
    ledger.add(np.zeros((1, 16), np.uint8), np.zeros(1, STAT), np.zeros(1, ROW), np.array([10**12]))
    ledger.flush()
    assert calls[-1] == ("fsync", f"ledger/{ledger.path.name}")


def test_what_cannot_be_flushed_is_not_moved_into_place(tmp_path: Path) -> None:
    # A file that the body only names is none.
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(FileNotFoundError, match="No such file"), replacing(path):
        pass
    assert path.read_text() == "old"
    with pytest.raises(FileNotFoundError, match="nowhere"):
        sync_folder(tmp_path / "nowhere")
    sync_tree(tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        OSError("100 requested and 0 written"),
        RuntimeError("Can't close file (file write failed: errno = 5, 'Input/output error')"),
        tf.errors.ResourceExhaustedError(None, None, "logs/events.v2; No space left on device"),
    ],
    ids=["system", "NumPy", "HDF5", "TensorFlow"],
)
def test_full_disk_is_named_whichever_library_meets_it(error: Exception, tmp_path: Path) -> None:
    def write() -> None:
        with replacing(tmp_path / "a"):
            raise error

    with pytest.raises(StorageError, match=r"/a cannot be written: .*; make room on that disk"):
        write()
    assert not os.listdir(tmp_path)
