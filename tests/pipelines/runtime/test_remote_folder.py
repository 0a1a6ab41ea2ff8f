"""Files of a folder here or at an address: whole or absent, and tried again where storage fails."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipelines.runtime import remote_folder
from pipelines.runtime.remote_folder import RemoteFolder, is_address
from zoo.errors import InputError, StorageError


class Flaky(MemoryFileSystem):
    """Object storage of which every third request fails."""

    protocol = "flaky"
    store: dict[str, Any] = {}  # noqa: RUF012  of the class, as in MemoryFileSystem
    pseudo_dirs = [""]  # noqa: RUF012
    requests = itertools.count(1)
    every = 3

    def _request(self) -> None:
        if next(Flaky.requests) % Flaky.every == 0:
            raise ConnectionResetError("connection reset by peer")

    def cat_file(self, *args: Any, **kwargs: Any) -> Any:
        self._request()
        return super().cat_file(*args, **kwargs)

    def pipe_file(self, *args: Any, **kwargs: Any) -> Any:
        self._request()
        return super().pipe_file(*args, **kwargs)

    def ls(self, *args: Any, **kwargs: Any) -> Any:
        self._request()
        return super().ls(*args, **kwargs)

    def info(self, *args: Any, **kwargs: Any) -> Any:
        self._request()
        return super().info(*args, **kwargs)


@pytest.fixture
def flaky(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Flaky]]:
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    monkeypatch.setattr(remote_folder, "_PAUSE_S", 0.0)
    monkeypatch.setattr(Flaky, "requests", itertools.count(1))
    monkeypatch.setattr(Flaky, "every", 3)
    yield Flaky
    Flaky.store.clear()


@pytest.fixture(params=["folder", "memory", "flaky"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, flaky: type[Flaky]) -> RemoteFolder:
    address = str(tmp_path) if request.param == "folder" else f"{request.param}://{tmp_path.name}"
    return RemoteFolder(address)


def test_files_are_written_listed_and_read(folder: RemoteFolder) -> None:
    assert folder.names() == folder.names("shards") == frozenset()
    assert not folder.exists("shards/a.bin")
    for name in ("a", "b", "c", "d"):
        folder.write(f"shards/{name}.bin", name.encode())
    folder.write("shards/a.bin", b"anew")
    assert folder.names("shards") == {"a.bin", "b.bin", "c.bin", "d.bin"}
    assert folder.names() == {"shards"}
    assert folder.exists("shards/a.bin")
    assert folder.read("shards/a.bin") == b"anew"
    assert folder.read_by("shards/a.bin", lambda file: (file.seek(2), file.read())[1]) == b"ew"
    with pytest.raises(FileNotFoundError):
        folder.read("shards/e.bin")


def test_storage_that_never_answers_is_named(flaky: type[Flaky], tmp_path: Path) -> None:
    folder = RemoteFolder(f"flaky://{tmp_path.name}")
    flaky.every = 1
    message = "cannot be read or written; received ConnectionResetError: connection reset by peer"
    with pytest.raises(StorageError, match=message):
        folder.write("a", b"")
    for ask in (folder.names, folder.find, lambda: folder.exists("a"), lambda: folder.read("a")):
        with pytest.raises(StorageError, match=message):
            ask()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nosuch://bucket/photos", "is no address; expected a folder, s3://BUCKET/FOLDER"),
        ("dropbox://photos", "needs a package that is not installed; received .*dropboxdrivefs"),
    ],
)
def test_address_that_nothing_opens_is_named(address: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        RemoteFolder(address)


def test_addresses_are_told_from_paths() -> None:
    assert is_address("s3://bucket/photos")
    assert not is_address("photos/2026")
    assert not is_address("tfds:mnist")


def test_folder_that_cannot_be_listed_is_not_taken_for_empty(
    flaky: type[Flaky], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flaky.every = 10**9
    folder = RemoteFolder(f"flaky://{tmp_path.name}")
    for name in ("ants/1.jpg", "bees/1.jpg"):
        folder.write(name, b"")
    assert list(folder.find()) == ["ants/1.jpg", "bees/1.jpg"]
    listed = Flaky.ls

    def fail(self: Flaky, path: str, *args: Any, **kwargs: Any) -> Any:
        if path.endswith("bees"):
            raise ConnectionResetError("connection reset by peer")
        return listed(self, path, *args, **kwargs)

    monkeypatch.setattr(Flaky, "ls", fail)
    with pytest.raises(StorageError, match="cannot be read or written"):
        folder.find()
