"""Small files from anywhere, read within limits: text, TOML, JSON and NumPy archives.

A recipe, a run or a weights file may come from somebody else, or be damaged. What is read
is bounded before it is parsed, and every fault is a ValueError or an OSError.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import stat
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_TEXT_BYTES = 256 * 2**20
"""Bytes of a text file, at most: images.json of a million images has 70 MB."""

MAX_DEPTH = 50
"""Levels of nested values, at most: a recipe has five."""

_NO_KEY = re.compile(r"[^\w\"'. \t-]+")
"""What no dotted key holds."""

MAX_EXPANSION = 200
"""Bytes that a byte of an archive may unfold to; weights unfold to two, zeros to a thousand."""

MAX_ARRAY_BYTES = 64 * 2**30
"""Bytes of all arrays of an archive, at most."""


def read_text(path: Path, *, max_bytes: int = MAX_TEXT_BYTES, encoding: str = "utf-8-sig") -> str:
    """Reads a text file in UTF-8, with or without a byte-order mark.

    Args:
        path: The file. A FIFO or a device would hang, or never end.
        max_bytes: Its size, at most.
        encoding: "utf-8-sig", or "utf-8" to keep a byte-order mark as a part of the text.

    Raises:
        OSError: It cannot be read, is no regular file, or is too large.
        UnicodeDecodeError: It is not UTF-8.
    """
    # Opening a FIFO would wait for its writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(path))
        if status.st_size > max_bytes:
            raise OSError(errno.EINVAL, f"Larger than {max_bytes:,} bytes", str(path))
        # Files of /proc have a size of 0.
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EINVAL, f"Larger than {max_bytes:,} bytes", str(path))
    return content.decode(encoding)


def parse_toml(text: str) -> dict[str, Any]:
    """Parses TOML.

    Raises:
        ValueError: It is not TOML, or nested too deeply.
    """
    # Python's parser takes time by the square of a dotted key's length.
    if any(piece.count(".") > MAX_DEPTH for piece in _NO_KEY.split(text)):
        raise _too_deep()
    try:
        values = tomllib.loads(text)
    except RecursionError:
        raise _too_deep() from None
    _check_depth(values)
    return values


def parse_json(text: str | bytes) -> Any:
    """Parses JSON.

    Raises:
        ValueError: It is not JSON, or nested too deeply.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise _too_deep() from None
    _check_depth(value)
    return value


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Reads a NumPy archive, without unpickling.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged, or its arrays are larger than their bytes.
    """
    try:
        # Opened here, since NumPy leaves a file open that it cannot read.
        with path.open("rb") as opened:
            _check_sizes(opened, os.fstat(opened.fileno()).st_size)
            opened.seek(0)
            with np.load(opened, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
    except (OSError, ValueError):
        raise
    except Exception as error:
        # Depending on the damage: BadZipFile, zlib.error, EOFError, KeyError, TokenError,
        # NotImplementedError, struct.error, OverflowError, SyntaxError, RuntimeError …
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _check_sizes(file: Any, size: int) -> None:
    """Checks, before any array is made, that each is as large as its bytes.

    Raises:
        ValueError: One is not, or all are too large.
    """
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        unfolded = sum(member.file_size for member in members)
        if unfolded > min(MAX_ARRAY_BYTES, MAX_EXPANSION * size):
            raise ValueError(f"{unfolded:,} bytes in a file of {size:,}")
        for member in members:
            if not member.filename.endswith(".npy"):
                raise ValueError(f"{member.filename!r} is no array")
            with archive.open(member) as stream:
                version = np.lib.format.read_magic(stream)
                if version not in _HEADERS:
                    raise ValueError(f"an array of format {version}")
                shape, _, dtype = _HEADERS[version](stream)
                if dtype.hasobject:
                    raise ValueError(f"{member.filename!r} holds Python objects")
                stated = math.prod(shape) * dtype.itemsize
                held = member.file_size - stream.tell()
            if stated != held or min(shape, default=0) < 0:
                raise ValueError(f"{member.filename!r} is {shape}, {held:,} bytes")


_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            below
            for each in level
            if isinstance(each, Mapping | list)
            for below in (each.values() if isinstance(each, Mapping) else each)
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> ValueError:
    return ValueError(f"nested more than {MAX_DEPTH} levels deep")
