"""Image files that files, folders and globs name."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

from pipelines.sources.examining.formats import IMAGE_EXTENSIONS
from pipelines.sources.listing.folder import list_images
from pipelines.sources.listing.walk import is_ignored
from zoo.errors import DataError

Images = str | Path | Sequence[str | Path]
"""A file, a folder or a glob, or several of them."""


def list_image_files(images: Images) -> list[Path]:
    """Lists the image files that files, folders and globs name.

    A file counts whatever its name. Of a folder, and of the folders below it, the files
    with an extension of IMAGE_EXTENSIONS count, sorted, without hidden files and those that
    file managers leave behind. A glob, as `photos/*.jpg` or `photos/**/a*`, counts for the
    files of that kind and the folders that match it, each file once.

    Args:
        images: What the user named. A name with `*`, `?` or `[` in it is a glob only where
            there is no file or folder of that name.

    Returns:
        The files in the order of `images`, one or more.

    Raises:
        DataError: There is no such file or folder, a folder cannot be read, or a folder or
            glob names no image.
    """
    names = [images] if isinstance(images, str | Path) else list(images)
    files = [file for name in names for file in _list_files(name)]
    if not files:
        raise DataError("there is no image to classify", expected="one file or more")
    return files


def _list_files(name: str | Path) -> list[Path]:
    path = Path(name)
    # Unlike Path.is_file, these raise nothing, also for a name that is too long.
    if os.path.isfile(path):
        return [path]
    if os.path.isdir(path):
        files = list_images(path)
    elif os.path.lexists(path):
        raise DataError(f"{path} is neither a file nor a folder")
    elif glob.has_magic(str(name)):
        files = list(dict.fromkeys(_match(str(name))))
    else:
        raise DataError(f"{path} does not exist", expected="an image file, a folder or a glob")
    if not files:
        raise DataError(
            f"there is no image in {path}" if os.path.isdir(path) else f"no image matches {name}",
            expected=f"files ending in {', '.join(IMAGE_EXTENSIONS)}",
        )
    return files


def _match(pattern: str) -> Iterator[Path]:
    num_literal = sum(1 for _ in takewhile(lambda p: not glob.has_magic(p), Path(pattern).parts))
    for match in sorted(glob.glob(pattern, recursive=True)):
        path = Path(match)
        if any(is_ignored(part) for part in path.parts[num_literal:]):
            continue
        if path.is_dir():
            yield from list_images(path)
        elif path.suffix.lower() in IMAGE_EXTENSIONS:
            yield path
