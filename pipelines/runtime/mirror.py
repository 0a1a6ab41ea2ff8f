"""Mirror: a copy of a folder at an address in the cache, of which only what changed is fetched.

    CACHE/remote/<address>/files/…       the files
    CACHE/remote/<address>/index.json    the version of each that is there

It holds nothing that fetching does not bring again, so it may be removed at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from pipelines.runtime.remote_folder import FileVersion, RemoteFolder
from pipelines.runtime.threads import map_in_order
from zoo.errors import DataError
from zoo.files import cache_folder, replacing, write_json
from zoo.printable import printable
from zoo.progress import track
from zoo.reading import parse_json, read_text

logger = logging.getLogger(__name__)

_READERS = 16
"""Files that are fetched at a time: what takes long is to wait for each."""

_SAVE_EVERY_S = 10.0
"""Seconds of fetching that an interruption costs, at most."""


def mirror(address: str) -> Path:
    """Copies a folder at an address into the cache; returns where it is.

    Files whose size and version are those of the last time are not fetched again; those that
    are gone from the address are removed.

    Args:
        address: As fsspec takes it, such as `s3://bucket/photos`.

    Raises:
        DataError: There is nothing, or a name would lie outside of the folder.
        InputError: Nothing that is installed can open such an address.
        StorageError: The storage fails time and again, or the cache cannot be written.
    """
    remote = RemoteFolder(address)
    found = remote.find()
    if not found:
        raise DataError(
            f"There is nothing at {address}",
            expected="a folder with files in it",
            mend="check the address, and who may read it",
        )
    place = cache_folder() / "remote" / hashlib.sha256(remote.address.encode()).hexdigest()[:32]
    files, index = place / "files", place / "index.json"
    known = _read_index(index)
    missing = [
        name for name, version in found.items() if not _is_there(files, name, version, known)
    ]
    for name in known.keys() - found.keys():
        with contextlib.suppress(OSError):
            _path_of(files, name).unlink()
    there = {name: version for name, version in known.items() if name in found}
    for name in missing:
        there.pop(name, None)

    def fetch(name: str) -> str:
        with replacing(_path_of(files, name)) as temporary:
            temporary.write_bytes(remote.read(name))
        return name

    if missing:
        size = sum(found[name].size for name in missing)
        logger.info(f"fetching {len(missing):,} files, {size / 2**20:,.0f} MiB, from {address}")
    saved = time.monotonic()
    try:
        with track("fetching", len(missing), unit="files") as progress:
            for name in map_in_order(fetch, missing, _READERS):
                there[name] = found[name]
                progress.advance()
                if time.monotonic() - saved > _SAVE_EVERY_S:
                    _write_index(index, there)
                    saved = time.monotonic()
    finally:
        if missing or there.keys() != known.keys():
            _write_index(index, there)
    return files


def _is_there(
    files: Path, name: str, version: FileVersion, known: Mapping[str, FileVersion]
) -> bool:
    if known.get(name) != version:
        return False
    try:
        return _path_of(files, name).stat().st_size == version.size
    except OSError:
        return False


def _path_of(files: Path, name: str) -> Path:
    """Returns where a file lies in the mirror.

    Raises:
        DataError: It would lie outside: names in object storage are any text.
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name or "\\" in name:
        raise DataError(
            f"{printable(name)} is no name of a file on this machine",
            expected="names without .., \\ and NUL",
            mend="rename it there",
        )
    return files.joinpath(*parts)


def _read_index(file: Path) -> dict[str, FileVersion]:
    """Returns the versions of files; none where the index is absent or damaged."""
    try:
        entries = parse_json(read_text(file))
        return {name: FileVersion(int(size), str(tag)) for name, (size, tag) in entries.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write_index(file: Path, versions: Mapping[str, FileVersion]) -> None:
    write_json(file, {name: [found.size, found.tag] for name, found in versions.items()})
