"""The key that seals a user's exports: made once, readable by the user alone."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path

from zoo.files import open_to_read

_BYTES = 32


class KeyFileError(Exception):
    """The key's file cannot be had; the message names it and says why."""


def key_file() -> Path | None:
    """Returns the path of the key, whether it is there or not; None without a home folder.

    It is `ZOO_KEY` if set, else `transfer-zoo/seal.key` in `XDG_CONFIG_HOME` or `~/.config`.
    """
    try:
        if chosen := os.environ.get("ZOO_KEY"):
            return Path(chosen).expanduser()
        base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
        return Path(base).expanduser() / "transfer-zoo" / "seal.key"
    except RuntimeError:
        return None


def read_key() -> bytes | None:
    """Reads the key, 32 bytes; None where there is none.

    Raises:
        KeyFileError: Its file cannot be read, is of another kind, or is open to others, who
            could then seal models too.
    """
    path = key_file()
    if path is None:
        return None
    try:
        with open_to_read(path) as file:
            status, text = os.fstat(file.fileno()), file.read(100)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise KeyFileError(f"the key {path} cannot be read: {error.strerror}") from None
    if os.name == "posix":
        if status.st_uid != os.geteuid():
            raise KeyFileError(f"the key {path} belongs to another user")
        if status.st_mode & 0o077:
            raise KeyFileError(f"the key {path} is open to others: chmod 600 it, or remove it")
    if not re.fullmatch(rb"[0-9a-f]{%d}\n?" % (2 * _BYTES), text):
        raise KeyFileError(f"the key {path} is not one of 64 hexadecimal digits: remove it")
    return bytes.fromhex(text.decode())


def make_key() -> bytes:
    """Returns the key, 32 bytes, after making it if there is none.

    Raises:
        KeyFileError: Its file cannot be read or written.
    """
    path = key_file()
    if path is None:
        raise KeyFileError("there is no home folder for a key")
    if key := read_key():
        return key
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(f"{secrets.token_hex(_BYTES)}\n")
                file.flush()
                os.fsync(file.fileno())
            # Of two processes that make a key at the same time, the first one's is taken.
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise KeyFileError(f"the key {path} cannot be written: {error.strerror}") from None
    if key := read_key():
        return key
    raise KeyFileError(f"the key {path} vanished")
