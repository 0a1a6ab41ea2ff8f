"""Exclusive lock on an open file, released by the operating system when its holder ends."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    import msvcrt

    def try_lock(descriptor: int) -> bool:
        """Locks an open file exclusively, against other processes and threads.

        Args:
            descriptor: The file, opened for writing.

        Returns:
            Whether the lock is had; False while somebody else has it.

        Raises:
            OSError: The file system has no locks.
        """
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    def try_lock(descriptor: int) -> bool:
        """Locks an open file or folder exclusively, against other processes and threads.

        Args:
            descriptor: The file or folder; closing it releases the lock.

        Returns:
            Whether the lock is had; False while somebody else has it.

        Raises:
            OSError: The file system has no locks.
        """
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
