"""Claim on a run folder: while one job writes into it, no other one does.

A claim is a locked file in the folder. The operating system releases the lock when its
process ends, however it ends, so a claim never outlives its job and no clock is asked. The
file says who holds it, for the message to whoever comes second.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from zoo.disk_sync import make_folders
from zoo.errors import RunError, TrainingError
from zoo.file_lock import try_lock
from zoo.files import naming_file
from zoo.reading import parse_json

CLAIM_FILE = ".claim"
"""The file's name; it exists while a job runs, and after a kill until the next job."""


@dataclass(frozen=True)
class Claim:
    """A folder that this process alone writes into.

    Args:
        folder: The folder.
        inode: Number of the claim's file, by which a new file of that name is recognized.
        thread: The thread that made the claim.
    """

    folder: Path
    inode: int
    thread: int

    def check_present(self) -> None:
        """Checks that nobody has removed the folder.

        Raises:
            TrainingError: It is gone, or is another one.
        """
        if _inode_of(self.folder / CLAIM_FILE) != self.inode:
            raise TrainingError(
                f"{self.folder} was removed or replaced while the job ran",
                expected="the folder that the job began with",
                mend="run the command again, and leave --out alone until it has ended",
            )


_held: dict[str, Claim] = {}
"""The claims of this process, by the real path of their folder."""


@contextlib.contextmanager
def claim_folder(folder: Path) -> Iterator[Claim]:
    """Claims a folder for the job of this thread; the folder and its parents may be missing.

    A job within the job that made a claim shares it. Folders that were made for the claim
    are removed at its end if nothing has been written into them.

    Args:
        folder: The run folder.

    Raises:
        RunError: Another job writes into the folder.
        OSError: The folder cannot be written.
        TrainingError: The folder was removed before the body ended without an error.
    """
    key = os.path.realpath(folder)
    claim = _held.get(key)
    if claim and claim.thread == threading.get_ident():
        yield claim
        return
    with naming_file(folder):
        made = make_folders(folder)
    try:
        with _lock(folder) as inode:
            claim = _held[key] = Claim(folder, inode, threading.get_ident())
            try:
                yield claim
                claim.check_present()
            finally:
                del _held[key]
    finally:
        for parent in made:
            # Not empty: the job, or another one, has begun.
            with contextlib.suppress(OSError):
                parent.rmdir()


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[int]:
    """Holds the locked claim file, and yields its inode; removes it at the end.

    Raises:
        RunError: Somebody else holds it.
    """
    file = folder / CLAIM_FILE
    with naming_file(file):
        descriptor = _open_locked(file)
    try:
        with naming_file(file):
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, _describe_self())
        yield os.fstat(descriptor).st_ino
    finally:
        # Removed under the lock: who waits for it finds that the file is another one. On a
        # failing disk it may stay; the next job takes it over.
        if _inode_of(file) == os.fstat(descriptor).st_ino:
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
        os.close(descriptor)


def _open_locked(file: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    while True:
        descriptor = os.open(file, flags, 0o644)
        mend = "wait until it has ended, or choose another --out"
        try:
            held = try_lock(descriptor)
        except OSError:  # the file system has no locks
            held = not _holder_lives(_read(descriptor))
            mend += f"; if it has ended already, remove {file}"
        if not held:
            holder = _describe_holder(_read(descriptor))
            os.close(descriptor)
            raise RunError(
                f"another job writes into {file.parent}",
                expected="a folder for this job alone",
                received=holder,
                mend=mend,
            )
        if _inode_of(file) == os.fstat(descriptor).st_ino:
            return descriptor
        os.close(descriptor)  # its holder removed it between the opening and the lock


def _read(descriptor: int) -> bytes:
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        return os.read(descriptor, 1000)
    except OSError:  # Windows does not let others read what is locked
        return b""


def _inode_of(file: Path) -> int | None:
    try:
        return file.stat(follow_symlinks=False).st_ino
    except OSError:
        return None


def _describe_self() -> bytes:
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    return json.dumps({"host": platform.node(), "pid": os.getpid(), "since": since}).encode()


def _describe_holder(record: bytes) -> str:
    try:
        holder = parse_json(record)
        return f"process {int(holder['pid'])} on {holder['host']}, since {holder['since']}"
    except (ValueError, KeyError, TypeError, OverflowError):  # its holder is about to write it
        return "another process"


def _holder_lives(record: bytes) -> bool:
    """Returns whether the process of a claim may still run; one of another host may."""
    try:
        holder = parse_json(record)
        host, pid = holder["host"], int(holder["pid"])
    except (ValueError, KeyError, TypeError, OverflowError):
        return False
    if host != platform.node():
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # no process has a number so large
        return False
    except OSError:  # it is another user's
        return True
    return True
