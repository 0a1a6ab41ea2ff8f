"""Destinations: whether a job can write where it is told to, asked before it works for hours."""

from __future__ import annotations

import os
from pathlib import Path

from zoo.errors import InputError


def check_destination(path: Path, option: str) -> None:
    """Checks that something can be written at a path, whose parents need not exist yet.

    Args:
        path: Where a job is to write.
        option: What the user named it by, such as `--to`.

    Raises:
        InputError: It lies below a file or in a folder that cannot be written to, or
            no file system could hold its name.
    """
    mend = f"choose another {option}"
    # From the top, so that the first one missing has a parent that exists.
    absolute = Path(os.path.abspath(path))
    nearest = Path(absolute.anchor)
    for folder in [*reversed(absolute.parents), absolute]:
        try:
            folder.stat()
        except FileNotFoundError:
            # A link to nothing is not found, and no folder can be made in its place.
            if folder != absolute and folder.is_symlink():
                raise InputError(f"{path} lies below a link to nothing", mend=mend) from None
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
