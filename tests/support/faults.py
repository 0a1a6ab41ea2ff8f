"""File operations that fail: the n-th one of a process, by a kill, a full or a failing disk.

`install` goes into a process of its own, since Python's audit hooks stay for its life. It
counts what Python does to files below some folders: opening for writing, writing, truncating,
fsync, rename, mkdir, rmdir and unlink. What a library does in C, as TensorFlow's writers of a
SavedModel and of TensorBoard's events, it does not see.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KINDS = ("kill", "full", "failing")
"""SIGKILL; a disk that is full from then on; an input/output error, once."""

_GROWING = {"open", "write", "mkdir", "fsync"}
"""What a full disk refuses."""


@dataclass
class Faults:
    """The file operations of this process.

    Args:
        roots: Folders below which operations count.
        number: The operation that fails, from 1; 0 lets all succeed.
        kind: One of KINDS.

    Attributes:
        seen: The operations, in order: what, and on which file.
        failed: How many were made to fail.
    """

    roots: Sequence[Path]
    number: int = 0
    kind: str = "kill"
    seen: list[tuple[str, str]] = field(default_factory=list)
    failed: int = 0

    def install(self) -> None:
        """Counts from now on, to the end of this process."""
        self._roots = tuple(f"{os.path.realpath(root)}/" for root in self.roots)
        sys.addaudithook(self._audit)
        fsync, write, ftruncate = os.fsync, os.write, os.ftruncate

        def checked_fsync(descriptor: int) -> None:
            self.meet("fsync", _path_of(descriptor))
            fsync(descriptor)

        def checked_write(descriptor: int, content: Any) -> int:
            self.meet("write", _path_of(descriptor), lambda half: write(descriptor, half), content)
            return write(descriptor, content)

        def checked_truncate(descriptor: int, size: int) -> None:
            self.meet("truncate", _path_of(descriptor))
            ftruncate(descriptor, size)

        os.fsync, os.write, os.ftruncate = checked_fsync, checked_write, checked_truncate
        opened, faults = builtins.open, self

        class CheckedFile(io.FileIO):
            def write(self, content: Any, /) -> int:
                path = _path_of(self.fileno())
                faults.meet("write", path, super().write, content)
                return super().write(content)

        def checked_open(
            file: Any, mode: str = "r", buffering: int = -1, encoding: str | None = None,
            errors: str | None = None, newline: str | None = None, closefd: bool = True,
            opener: Any = None,
        ) -> Any:  # fmt: skip
            options = (buffering, encoding, errors, newline, closefd, opener)
            if not set(mode) & set("wax+"):
                return opened(file, mode, *options)
            raw = CheckedFile(file, mode.replace("b", "").replace("t", ""), closefd, opener)
            if buffering == 0:
                return raw
            size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
            buffer = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw, size)
            if "b" in mode:
                return buffer
            return io.TextIOWrapper(buffer, encoding, errors, newline, buffering == 1)

        builtins.open = io.open = checked_open  # type: ignore[assignment]

    def meet(self, what: str, path: str, write: Any = None, content: Any = b"") -> None:
        """Counts an operation, and fails if it is its turn; a write is half done by then.

        Raises:
            OSError: The disk is full, or fails.
        """
        if not f"{path}/".startswith(self._roots):
            return
        self.seen.append((what, path))
        position = len(self.seen)
        is_turn = position == self.number
        still_full = self.kind == "full" and 0 < self.number < position and what in _GROWING
        if not is_turn and not still_full:
            return
        self.failed += 1
        if write is not None and is_turn:
            write(bytes(content)[: len(bytes(content)) // 2])
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        number = errno.ENOSPC if self.kind == "full" else errno.EIO
        raise OSError(number, os.strerror(number), path)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self.meet("open", _absolute(path))
        elif event == "os.rename":
            self.meet("rename", _absolute(arguments[0]))
        elif event in ("os.remove", "os.rmdir"):
            self.meet(event.removeprefix("os."), _absolute(*arguments))
        elif event == "os.mkdir":
            self.meet("mkdir", _absolute(arguments[0], arguments[2]))


def _path_of(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")


def _absolute(path: Any, folder: int = -1) -> str:
    """Returns the absolute path of an operation's file, which `folder`, a descriptor, holds."""
    if not isinstance(path, str | bytes | os.PathLike):
        return ""
    name = os.fsdecode(path)
    if folder >= 0:
        name = os.path.join(_path_of(folder), name)
    parent = os.path.realpath(os.path.dirname(name) or ".")
    return os.path.join(parent, os.path.basename(name))
