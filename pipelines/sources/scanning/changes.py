"""Find out whether files are there, and still those that were scanned."""

from __future__ import annotations

import hashlib

import numpy as np

from pipelines.sources.columns import Files
from pipelines.sources.scanning.ledger import stamp_files, stat_files
from pipelines.sources.source import Examples


def find_changed(examples: Examples) -> int | None:
    """Returns the index of an image whose file is not the one that was scanned, if there is one.

    A file is read only if its size, times or inode changed, or if it changed so shortly before
    the scan that these would not show another change.

    Args:
        examples: Scanned, with `digests`.
    """
    if examples.files is None:
        return None
    stamps = stamp_files(stat_files(Files.of(examples.files)))
    suspect = np.arange(len(examples))
    if examples.stamps is not None:
        suspect = np.flatnonzero(stamps != examples.stamps)
    for index in suspect.tolist():
        try:
            digest = hashlib.sha256(examples.read(index)).digest()
        except OSError:
            return int(index)
        if digest != examples.binary_digests[index].tobytes():
            return int(index)
    return None


def are_present(examples: Examples) -> bool:
    """Returns whether the file of every image is there.

    Those of a data set that comes with its features may be gone.

    Args:
        examples: The images.
    """
    if examples.files is None:
        return True
    return bool((stat_files(Files.of(examples.files))["size"] >= 0).all())
