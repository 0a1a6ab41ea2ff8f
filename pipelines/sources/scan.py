"""Examine each image of a listing once before training, on all cores.

Pixels are dropped after the scan of their image: memory use does not grow with the
number of images.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from pipelines.sources.examination import MISSING, ImageScan, examine_image
from pipelines.sources.formats import DECODABLE, HEAD_BYTES, format_of, why_no_image
from pipelines.sources.source import Examples, Listing


def scan_images(listing: Listing) -> dict[str, tuple[ImageScan, ...]]:
    """Decodes every image of a listing, on all cores.

    Returns:
        A result for each image, by split, in the order of the listing.
    """
    import tensorflow  # noqa: F401 - once, before several threads need it

    # The decoder releases the interpreter lock, so the threads run in parallel.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return {
            split: tuple(pool.map(_scan_image, [examples] * len(examples), range(len(examples))))
            for split, examples in listing.splits.items()
        }


def keep_decodable(listing: Listing, scans: Mapping[str, Sequence[ImageScan]]) -> Listing:
    """Returns a listing of the images that decode, with their digests and shapes.

    Args:
        listing: The images that were scanned.
        scans: Results of `scan_images` for them.
    """
    import numpy as np

    splits: dict[str, Examples] = {}
    for split, examples in listing.splits.items():
        kept = [i for i, scan in enumerate(scans[split]) if not scan.problem]
        if kept:
            found = [scans[split][i] for i in kept]
            splits[split] = replace(
                examples.take(kept),
                digests=tuple(scan.sha256 for scan in found),
                shapes=np.array([(scan.height, scan.width) for scan in found], np.int64),
            )
    return replace(listing, splits=splits)


def _scan_image(examples: Examples, index: int) -> ImageScan:
    name = examples.names[index]
    content, problem = _read(examples, index)
    if problem:
        return ImageScan(name, format_of(content[:HEAD_BYTES]), problem=problem)
    return examine_image(name, content)


def _read(examples: Examples, index: int) -> tuple[bytes, str]:
    """Returns the bytes of an image; else the first few bytes and why it is none."""
    if examples.files is None:
        return examples.read(index), ""
    path: Path = examples.files[index]
    try:
        # Reading a pipe would block, and a video need not be read to its end.
        if not stat.S_ISREG(path.stat().st_mode):
            return b"", "not a file"
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            if format_of(head) not in DECODABLE:
                return head, why_no_image(head)
            return head + file.read(), ""
    except (FileNotFoundError, NotADirectoryError):
        return b"", "a broken link" if path.is_symlink() else MISSING
    except ValueError:
        return b"", MISSING  # The name holds a NUL character.
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return b"", MISSING
        return b"", f"cannot be read: {error.strerror}"
