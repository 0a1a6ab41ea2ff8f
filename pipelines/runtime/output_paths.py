"""Check that an output path can be written, before the job that writes it runs."""

from __future__ import annotations

import os
from pathlib import Path

from zoo.errors import InputError


def check_destination(path: Path, option: str) -> None:
    """Checks that a file or folder can be written at a path; its parents may be missing.

    Writes nothing.

    Args:
        path: The output path of a job.
        option: The command-line option that sets it, such as `--to`, for the message.

    Raises:
        InputError: The path lies below a file or a broken link, its nearest folder is
            read-only, or the file system cannot hold its name.
    """
    mend = f"choose another {option}"
    # From the root down: the parent of the first missing folder exists.
    absolute = Path(os.path.abspath(path))
    nearest = Path(absolute.anchor)
    for folder in [*reversed(absolute.parents), absolute]:
        try:
            folder.stat()
        except FileNotFoundError:
            # stat() does not find a broken link, and mkdir() cannot replace it.
            if folder != absolute and folder.is_symlink():
                raise InputError(f"{path} lies below a broken link", mend=mend) from None
            break
        except NotADirectoryError:
            raise InputError(
                f"{path} cannot be written", received=f"{nearest} is a file", mend=mend
            ) from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise InputError(f"{path} cannot be written: {reason}", mend=mend) from None
        if folder != absolute or folder.is_dir():
            nearest = folder
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"{path} cannot be written", received=f"{nearest} is read-only", mend=mend)
