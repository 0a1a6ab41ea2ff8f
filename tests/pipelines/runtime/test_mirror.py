"""Mirror: what is at an address is in the cache, and only what changed was fetched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipelines.runtime import mirror as module
from pipelines.runtime.mirror import mirror
from pipelines.runtime.remote_folder import RemoteFolder
from zoo.errors import DataError


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RemoteFolder]:
    """A folder in memory with three files; the cache is empty."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    folder = RemoteFolder(f"memory://{tmp_path.name}")
    for name in ("ants/1.jpg", "ants/ä b.jpg", "labels.csv"):
        folder.write(name, name.encode())
    yield folder
    MemoryFileSystem.store.clear()


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are fetched."""
    names: list[str] = []
    read = RemoteFolder.read

    def note(self: RemoteFolder, name: str) -> bytes:
        names.append(name)
        return read(self, name)

    monkeypatch.setattr(RemoteFolder, "read", note)
    return names


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_only_what_changed_is_fetched(memory: RemoteFolder, fetched: list[str]) -> None:
    files = mirror(memory.address)
    assert contents(files) == {n: n.encode() for n in ("ants/1.jpg", "ants/ä b.jpg", "labels.csv")}
    assert sorted(fetched) == sorted(contents(files))
    fetched.clear()
    assert mirror(memory.address) == files
    assert not fetched
    memory.write("ants/1.jpg", b"another of another size")
    memory.write("bees/2.jpg", b"new")
    fsspec.filesystem("memory").rm(f"{memory._path}/labels.csv")
    (files / "ants" / "ä b.jpg").write_bytes(b"cut")
    mirror(memory.address)
    assert sorted(fetched) == ["ants/1.jpg", "ants/ä b.jpg", "bees/2.jpg"]
    assert contents(files) == {
        "ants/1.jpg": b"another of another size",
        "ants/ä b.jpg": "ants/ä b.jpg".encode(),
        "bees/2.jpg": b"new",
    }


@pytest.mark.parametrize("index", ["", "[]", '{"ants/1.jpg": 3}', '{"ants/1.jpg": ["x", 1]}'])
def test_damaged_index_costs_fetching_anew(
    memory: RemoteFolder, fetched: list[str], index: str
) -> None:
    files = mirror(memory.address)
    fetched.clear()
    (files.parent / "index.json").write_text(index)
    mirror(memory.address)
    assert len(fetched) == 3


def test_interrupted_fetching_goes_on(
    memory: RemoteFolder, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_READERS", 1)
    read = RemoteFolder.read

    def fail(self: RemoteFolder, name: str) -> bytes:
        if name == "labels.csv":
            raise KeyboardInterrupt
        return read(self, name)

    with monkeypatch.context() as patch:
        patch.setattr(RemoteFolder, "read", fail)
        with pytest.raises(KeyboardInterrupt):
            mirror(memory.address)
    fetched.clear()
    assert len(contents(mirror(memory.address))) == 3
    assert fetched == ["labels.csv"]


@pytest.mark.parametrize("name", ["../outside.jpg", "ants/../../outside.jpg", "ants\\1.jpg"])
def test_names_that_lie_outside_are_refused(
    memory: RemoteFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    find = RemoteFolder.find

    def with_other(self: RemoteFolder) -> dict[str, Any]:
        found = find(self)
        return found | {name: found["labels.csv"]}

    monkeypatch.setattr(RemoteFolder, "find", with_other)
    with pytest.raises(DataError, match="is no name of a file on this machine"):
        mirror(memory.address)
    assert not list(tmp_path.rglob("outside.jpg"))


def test_empty_address_is_named() -> None:
    with pytest.raises(DataError, match="There is nothing at memory://nowhere"):
        mirror("memory://nowhere")


def test_index_holds_what_the_file_system_says(memory: RemoteFolder) -> None:
    files = mirror(memory.address)
    index = json.loads((files.parent / "index.json").read_text())
    assert {name: size for name, (size, _) in index.items()} == {
        name: len(content) for name, content in contents(files).items()
    }
    assert all(tag for _, tag in index.values())
