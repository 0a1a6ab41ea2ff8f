"""Atomic writes of files and folders, SHA-256 digests and the cache folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from zoo.disk_sync import make_folders, sync_file, sync_folder, sync_tree
from zoo.errors import InputError, StorageError, ZooError
from zoo.file_lock import try_lock
from zoo.json_text import json_text

DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""Error numbers of a disk that is full or fails."""

DISK_MEND = "make room on that disk, or choose a folder on another one"

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}(\.[^.]+)?")
"""Names of the temporary files and folders of `replacing` and `placing_folder`."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, and moves it to `path` on success.

    A reader never sees a partial file, and a killed process or a power cut leaves the old
    file intact. After the body, the new one outlasts both.
    If the body raises, the temporary file is removed and `path` stays unchanged.

    Args:
        path: The file to create or replace, with its missing parents. The temporary name
            keeps its suffix, by which Keras and NumPy choose a format.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    with naming_file(path):
        make_folders(path.parent)
        try:
            yield temporary
            sync_file(temporary)
            os.replace(temporary, path)
        finally:
            # A failing disk may keep it; the next job that writes here removes it.
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


@contextlib.contextmanager
def placing_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `path`, and moves it to `path` on success.

    The folder is locked while it is written. Those beside it that nobody holds are what
    killed processes left behind, and are removed. It is whole or absent after a power cut, too.

    Args:
        path: The folder to create, with its missing parents.

    Raises:
        FileExistsError: `path` exists when the body ends.
    """
    path = Path(path)
    with naming_file(path), contextlib.ExitStack() as stack:
        make_folders(path.parent)
        _remove_abandoned_folders(path.parent)
        temporary = _make_held_folder(path, stack)
        try:
            yield temporary
            sync_tree(temporary)
            if path.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
            os.rename(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        sync_folder(path.parent)


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yields a folder in the system's temporary one, for this user alone; removed at the end.

    Those of killed processes are removed by the next one that makes such a folder.
    """
    place = Path(tempfile.gettempdir()).resolve() / "zoo"
    _remove_abandoned_folders(place.parent, ".zoo.*")
    with contextlib.ExitStack() as stack:
        folder = _make_held_folder(place, stack, mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Turns the errors of a full or failing disk into one that names the file.

    Libraries report these without a file, some without a reason, and TensorFlow and HDF5 by
    errors of their own.

    Args:
        path: What the body writes.

    Raises:
        StorageError: The body cannot write it.
    """
    try:
        yield
    except ZooError:
        raise
    except Exception as error:
        if not (reason := _disk_reason(error)):
            raise
        raise StorageError(
            f"{path} cannot be written: {reason}",
            mend=DISK_MEND,
        ) from error


def remove_file(path: Path) -> None:
    """Removes a file, if it is there.

    Raises:
        StorageError: A failing disk keeps it.
    """
    with naming_file(path):
        path.unlink(missing_ok=True)


def open_to_write(path: Path, *, append: bool = False) -> BinaryIO:
    """Opens a file of a predictable name to write it, where others may write beside it.

    Args:
        path: A regular file, created where it is missing. A symbolic link is not followed:
            in a shared cache it would lead whoever writes to a file of his own.
        append: Whether the content stays.

    Raises:
        OSError: It is a link or no regular file, or cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else 0)
    file = _open_regular(path, flags, "ab" if append else "wb")
    if not append:
        file.truncate(0)
    return file


def open_to_read(path: Path) -> BinaryIO:
    """Opens a file of a predictable name to read it, where others may write beside it.

    Args:
        path: A regular file; see `open_to_write`.

    Raises:
        OSError: It is missing, is a link or no regular file, or cannot be read.
    """
    return _open_regular(path, os.O_RDONLY, "rb")


def _open_regular(path: Path, flags: int, mode: str) -> BinaryIO:
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags, 0o644)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    return cast(BinaryIO, os.fdopen(descriptor, mode))


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files of killed processes in a folder and the folders below it.

    Args:
        folder: A folder that no other process writes into.
    """
    for path in list(folder.rglob(".*.*")):
        if not is_temporary(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def is_temporary(name: str) -> bool:
    """Returns whether a file or folder has a name that this module gives to temporary ones.

    Example:
        >>> is_temporary(".model.0a1b2c3d.keras"), is_temporary(".hidden.txt")
        (True, False)
    """
    return bool(_TEMPORARY.fullmatch(name))


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes one JSON value atomically.

    Raises:
        ValueError: `value` holds NaN or an infinity, which JSON lacks.
    """
    write_text(path, json_text(value) + "\n")


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Returns the folder for downloads, features and other files that can be recreated.

    It is `ZOO_CACHE` if set, else `transfer-zoo` in `XDG_CACHE_HOME` or `~/.cache`.

    Raises:
        InputError: The user has no home folder, and neither variable is set.
    """
    chosen = os.environ.get("ZOO_CACHE")
    try:
        if chosen:
            return Path(chosen).expanduser()
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        return Path(base).expanduser() / "transfer-zoo"
    except RuntimeError:
        raise InputError(
            "the user of this process has no home folder", mend="set ZOO_CACHE to a folder"
        ) from None


def _make_held_folder(path: Path, stack: contextlib.ExitStack, mode: int = 0o777) -> Path:
    """Creates a temporary folder beside a path, locked until the stack closes."""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        temporary.mkdir(mode)
        held = stack.enter_context(_held(temporary))
        # Another process may have taken it for abandoned, before it was locked.
        if held is not False and temporary.is_dir():
            return temporary


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[bool | None]:
    """Yields whether the lock of a folder is had; None where folders have no locks."""
    held = None
    descriptor = -1
    # Windows opens no folders, and not every file system has locks.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        held = try_lock(descriptor)
    try:
        yield held
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _remove_abandoned_folders(parent: Path, pattern: str = ".*.*") -> None:
    """Removes temporary folders in a folder that no process holds any more."""
    for path in parent.glob(pattern):
        if not is_temporary(path.name) or path.is_symlink() or not path.is_dir():
            continue
        with _held(path) as abandoned:
            if abandoned:
                shutil.rmtree(path, ignore_errors=True)


def _disk_reason(error: Exception) -> str:
    """Returns what a full or failing disk says in an error; empty for errors of other kinds."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno in {*DISK_ERRORS, None, 0}:
        return error.strerror or text[:120]
    reasons = (os.strerror(number) for number in sorted(DISK_ERRORS))
    return next((reason for reason in reasons if reason in text), "")
