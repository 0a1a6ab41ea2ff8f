"""Files that are whole or not there: written beside their name, moved into place."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` to write to, and moves it into place on success.

    A reader never sees half a file and a kill never costs the good one. When
    the body raises, what it wrote is removed and `path` is as it was.

    Args:
        path: The file to create or replace. Missing parents are created. The
            temporary name keeps its ending, which Keras and NumPy look at.
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
    """Yields a folder beside `path` to fill, and moves it into place on success.

    Args:
        path: The folder to create; it must not exist yet.

    Raises:
        FileExistsError: `path` exists when the body is done.
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
    """Writes one JSON value atomically; NaN is refused, since JSON has none.

    Raises:
        ValueError: `value` holds a float that is not finite.
    """
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Returns where this project keeps what it can make again.

    `ZOO_CACHE` if set, else `transfer-zoo` under `XDG_CACHE_HOME` or `~/.cache`.
    """
    if chosen := os.environ.get("ZOO_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "transfer-zoo"


def _sync(path: Path) -> None:
    # Open for writing: Windows refuses to flush a file that is open for reading.
    with path.open("r+b") as file:
        os.fsync(file.fileno())
