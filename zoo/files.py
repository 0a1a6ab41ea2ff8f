"""Atomic writes of files and folders, SHA-256 digests and the cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.json_text import json_text


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, and moves it to `path` on success.

    A reader never sees a partial file, and a killed process leaves the old file intact.
    If the body raises, the temporary file is removed and `path` stays unchanged.

    Args:
        path: The file to create or replace, with its missing parents. The temporary name
            keeps its suffix, by which Keras and NumPy choose a format.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def placing_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `path`, and moves it to `path` on success.

    Args:
        path: The folder to create, with its missing parents.

    Raises:
        FileExistsError: `path` exists when the body ends.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            raise FileExistsError(str(path))
        os.rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
    """
    if chosen := os.environ.get("ZOO_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "transfer-zoo"


def _sync(path: Path) -> None:
    # Opened for writing: Windows cannot flush a file that is open for reading alone.
    with path.open("r+b") as file:
        os.fsync(file.fileno())
