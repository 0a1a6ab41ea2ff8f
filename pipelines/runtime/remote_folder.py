"""Remote folder: files of a folder on this machine or in object storage, by fsspec.

Object storage fails now and then: what fails there is tried again, after a pause that doubles.

Reference: https://filesystem-spec.readthedocs.io
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

from zoo.errors import InputError, StorageError
from zoo.files import replacing

Result = TypeVar("Result")

logger = logging.getLogger(__name__)

_ATTEMPTS = 6
_PAUSE_S = 0.2
"""Seconds before the second attempt; each of the others waits twice as long as the one before."""

_LONGEST_S = 30.0
"""Seconds after which no other attempt begins: some libraries try for long themselves."""

_FINAL = (
    FileNotFoundError,
    FileExistsError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
)
"""Errors that another attempt does not mend."""

_ATOMIC = frozenset({"memory", "s3", "s3a", "gs", "gcs", "abfs", "az"})
"""Protocols under which a file is there whole, or not at all, until its last byte was sent."""


_FLAT = frozenset({"s3", "s3a", "gs", "gcs"})
"""Protocols under which one request lists a thousand files in any folders."""

_TAGS = ("ETag", "etag", "md5Hash", "LastModified", "mtime", "created")
"""Where file systems say which version of a file there is, the most exact first."""


class FileVersion(NamedTuple):
    """What says whether a file is still the one that it was.

    Args:
        size: Bytes.
        tag: Its entity tag, or the time of its last change; empty if neither is known.
    """

    size: int
    tag: str


def is_address(text: str) -> bool:
    """Returns whether a text is an address such as `s3://bucket/folder`, rather than a path."""
    return "://" in text


class RemoteFolder:
    """A folder on this machine or at an address.

    Args:
        address: A path, or what fsspec takes, such as `s3://bucket/folder`.

    Raises:
        InputError: Nothing that is installed can open such an address.
    """

    def __init__(self, address: str) -> None:
        import fsspec

        self.address = address.rstrip("/") or "/"
        try:
            self._fs, path = fsspec.core.url_to_fs(self.address)
        except ImportError as error:
            raise InputError(
                f"{address} needs a package that is not installed",
                received=str(error),
                mend="pip install what it names",
            ) from None
        except ValueError as error:
            raise InputError(
                f"{address} is no address",
                expected="a folder, s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or another of fsspec's",
                received=str(error),
            ) from None
        self._path = str(path).rstrip("/")
        protocol = self._fs.protocol
        names = {protocol} if isinstance(protocol, str) else set(protocol)
        self.is_local = bool(names & {"file", "local"})
        self._is_atomic = bool(names & _ATOMIC)
        self._lists_flat = bool(names & _FLAT)

    def __str__(self) -> str:
        return self.address

    def names(self, folder: str = "") -> frozenset[str]:
        """Returns the names of the files and folders right below a folder; none if it is absent."""
        path = self._at(folder)

        def find() -> list[str]:
            self._fs.invalidate_cache()
            return list(self._fs.ls(path, detail=False))

        try:
            found = self._persist(find)
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()
        return frozenset(name.rstrip("/").rsplit("/", 1)[-1] for name in found)

    def find(self) -> dict[str, FileVersion]:
        """Returns the version of every file below the folder, by name; none if it is absent."""
        try:
            found = self._list_flat() if self._lists_flat else self._list_folders()
        except (FileNotFoundError, NotADirectoryError):
            return {}
        names = ((path[len(self._path) + 1 :], info) for path, info in sorted(found.items()))
        return {name: _version_of(info) for name, info in names if name and name[-1] != "/"}

    def _list_flat(self) -> dict[str, Any]:
        def look() -> dict[str, Any]:
            self._fs.invalidate_cache()
            return dict(self._fs.find(self._path, detail=True))

        return self._persist(look)

    def _list_folders(self) -> dict[str, Any]:
        """Lists folder by folder; fsspec's own `find` leaves out those that it cannot list."""
        found: dict[str, Any] = {}
        folders = [self._path]
        self._fs.invalidate_cache()
        for folder in folders:
            for info in self._persist(partial(self._fs.ls, folder, detail=True)):
                if info["type"] != "directory":
                    found[info["name"]] = info
                elif info["name"] != folder:
                    folders.append(info["name"])
        return found

    def exists(self, name: str) -> bool:
        """Returns whether there is a file of this name.

        Raises:
            StorageError: The storage fails time and again.
        """

        def look() -> bool:
            self._fs.invalidate_cache()
            # Unlike `isfile`, it does not take a server that is down for a file that is missing.
            return bool(self._fs.info(self._at(name))["type"] == "file")

        try:
            return self._persist(look)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def read(self, name: str) -> bytes:
        """Returns what a file holds.

        Raises:
            FileNotFoundError: There is none.
            StorageError: It cannot be read, time and again.
        """
        return bytes(self._persist(lambda: self._fs.cat_file(self._at(name))))

    def read_by(self, name: str, reader: Callable[[BinaryIO], Result]) -> Result:
        """Returns what a function reads of a file, of which it may seek the parts.

        Args:
            name: The file.
            reader: Is called again where reading failed.

        Raises:
            FileNotFoundError: There is none.
            StorageError: It cannot be read, time and again.
        """

        def attempt() -> Result:
            with self._fs.open(self._at(name), "rb") as file:
                return reader(file)

        return self._persist(attempt)

    def write(self, name: str, content: bytes) -> None:
        """Writes a file, whole or not at all; replaces what was there.

        Raises:
            StorageError: It cannot be written, time and again.
        """
        path = self._at(name)
        if self.is_local:
            with replacing(Path(path)) as temporary:
                temporary.write_bytes(content)
        elif self._is_atomic:
            self._persist(lambda: self._fs.pipe_file(path, content))
        else:
            parent, _, last = path.rpartition("/")
            temporary_path = f"{parent}/.{last}.part"
            self._persist(lambda: self._fs.makedirs(parent, exist_ok=True))
            self._persist(lambda: self._fs.pipe_file(temporary_path, content))
            self._persist(lambda: self._fs.mv(temporary_path, path))

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}" if name else self._path

    def _persist(self, attempt: Callable[[], Result]) -> Result:
        """Tries what may fail by chance, several times.

        Raises:
            OSError: It fails for good.
            StorageError: It failed each time.
        """
        started = time.monotonic()
        for number in range(1, _ATTEMPTS + 1):
            try:
                return attempt()
            except _FINAL:
                raise
            except Exception as error:
                # Each file system has errors of its own, such as those of its HTTP library.
                if self.is_local:
                    raise
                last = error
            if number == _ATTEMPTS or time.monotonic() - started > _LONGEST_S:
                break
            logger.info(f"{self.address} does not answer ({type(last).__name__}); once more")
            time.sleep(_PAUSE_S * 2 ** (number - 1))
        raise StorageError(
            f"{self.address} cannot be read or written",
            received=f"{type(last).__name__}: {' '.join(str(last).split())[:200]}",
            mend=f"see whether it is there, and who may use it ({number} attempts failed)",
        ) from last


def _version_of(info: dict[str, Any]) -> FileVersion:
    tags = [info[key] for key in _TAGS if info.get(key)]
    return FileVersion(int(info.get("size") or 0), str(tags[0]) if tags else "")
