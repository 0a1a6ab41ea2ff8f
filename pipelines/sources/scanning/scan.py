"""Examine each image of a listing once, on all cores, and no file that is known already.

Pixels are dropped after the scan of their image, and results are rows of one array: memory
use hardly grows with the number of images.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.runtime.threads import map_in_order
from pipelines.sources.columns import ByteStrings, Files, KeyIndex
from pipelines.sources.config import DataConfig
from pipelines.sources.examining.conversion import (
    converted_file,
    evict_conversions,
    store_conversion,
)
from pipelines.sources.examining.examination import (
    MISSING,
    ImageScan,
    examination_rules,
    examine_image,
)
from pipelines.sources.examining.formats import HEAD_BYTES, format_of, why_no_image
from pipelines.sources.examining.kept_images import KeptImages
from pipelines.sources.examining.scan_table import ROW, ScanTable, TextCodes, pack
from pipelines.sources.scanning.ledger import (
    NO_FILE,
    STAT,
    Ledger,
    are_settled,
    hash_paths,
    stamp_files,
    stat_files,
    stat_values,
)
from pipelines.sources.source import Examples, Listing, join_examples
from zoo.progress import track

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

logger = logging.getLogger(__name__)

_MANY = 10_000
"""Files from which on looking at each takes long enough to say so."""

_CHUNK = 4
"""Images that a thread examines at a time."""


def scan_images(
    listing: Listing, config: DataConfig, kept: KeptImages | None = None
) -> dict[str, ScanTable]:
    """Examines the images of a listing.

    Args:
        listing: The images; with `scans`, none is read.
        config: Whether a file that was examined before and has the same size, times and inode
            counts as unchanged (`verify`); which are too large; and whether damaged ones count
            as problems.
        kept: Takes the decoded images of files that were read, as long as there is room.

    Returns:
        A result for each image, by split, in the order of the listing.

    Raises:
        DataError: A file has to be converted, and the cache cannot be written.
    """
    import numpy as np

    splits = listing.splits
    if not splits:
        return {}
    whole = join_examples([replace(e, columns={}, targets={}) for e in splits.values()])
    if listing.scans is not None:
        rows, texts = _find_known(whole, listing.scans, config)
    else:
        scan = _scan_files if whole.files else _scan_memory
        rows, texts = scan(whole, config, kept)
    # After the ledger, which is about the files alone.
    left_out = rows["partial"] & (config.damaged == "skip")
    rows["problem"][left_out] = rows["damage"][left_out]
    ends = np.cumsum([len(examples) for examples in splits.values()])
    return {
        split: ScanTable(examples.names, rows[end - len(examples) : end], texts)
        for (split, examples), end in zip(splits.items(), ends.tolist(), strict=True)
    }


def keep_decodable(
    listing: Listing, scans: Mapping[str, ScanTable], kept: KeptImages | None = None
) -> Listing:
    """Returns a listing of the images that decode, with their digests and shapes.

    Args:
        listing: The images that were scanned.
        scans: Results of `scan_images` for them.
        kept: What `scan_images` was given.
    """
    import numpy as np

    splits: dict[str, Examples] = {}
    for split, examples in listing.splits.items():
        good, found = np.flatnonzero(~scans[split].has("problem")), scans[split]
        if len(good) < len(examples):
            examples, found = examples.take(good), found.take(good)
        if len(good):
            shapes = np.stack([found.numbers("height"), found.numbers("width")], axis=1)
            examples = replace(
                examples,
                digests=found.digests,
                shapes=shapes.astype(np.int64),
                bits=found.numbers("bits").astype(np.uint8),
                stamps=found.rows["stamp"].copy(),
                kept=kept,
            )
            splits[split] = _read_conversions(examples, found)
    return replace(listing, splits=splits)


def _read_conversions(examples: Examples, scans: ScanTable) -> Examples:
    """Returns examples that read the conversions of those images that have one."""
    import numpy as np

    converted = scans.numbers("converted")
    if not converted.any():
        return examples
    places = [
        converted_file(d) if c else None for d, c in zip(scans.digests, converted, strict=True)
    ]
    if examples.encoded is not None:
        contents = zip(examples.encoded, places, strict=True)
        encoded = tuple(place.read_bytes() if place else content for content, place in contents)
        return replace(examples, encoded=encoded)
    files = Files.of(examples.files or ())
    paths = zip(files.encoded, places, strict=True)
    mixed = ByteStrings.of(os.fsencode(place) if place else path for path, place in paths)
    files, changed = Files(files.root, mixed), np.flatnonzero(converted)
    stamps = scans.rows["stamp"].copy()
    stamps[changed] = stamp_files(stat_files(files.take(changed)))
    return replace(examples, files=files, stamps=stamps)


_Rows = tuple["npt.NDArray[np.void]", Sequence[str]]
"""ROW [N], and what its texts index."""


def _find_known(examples: Examples, scans: ScanTable, config: DataConfig) -> _Rows:
    """Returns what another job found in images, by their digests.

    What is read instead of a file, if anything is, may be in the cache of another machine alone.
    """
    import numpy as np

    rows = scans.rows[KeyIndex(scans.digests.binary).find(examples.binary_digests)]
    for index in np.flatnonzero(rows["converted"]).tolist():
        if not converted_file(rows["sha256"][index].tobytes().hex()).is_file():
            _scan_image(examples, index, config, None)
    return rows, scans.texts


def _scan_memory(examples: Examples, config: DataConfig, kept: KeptImages | None) -> _Rows:
    """Examines images without files."""
    import numpy as np

    codes, rows = TextCodes(), np.zeros(len(examples), ROW)
    for part, found, _, _ in _examine(examples, np.arange(len(examples)), codes, config, kept):
        rows[part] = found
    return rows, codes.texts


def _scan_files(examples: Examples, config: DataConfig, kept: KeptImages | None) -> _Rows:
    """Examines the files that are new or changed, and enters them into the ledger."""
    import numpy as np

    files = Files.of(examples.files or ())
    ledger = Ledger(files.root, examination_rules())
    if len(files) >= _MANY:
        logger.info(f"reading {len(files):,} files")  # before the first second has passed
    paths = hash_paths(files.encoded)
    known, rows = np.zeros(len(files), bool), np.zeros(len(files), ROW)
    if config.verify == "stat" and ledger.num_entries:
        stats = stat_files(files)
        known, rows = ledger.find(paths, stats)
        rows["stamp"][known] = stamp_files(stats[known])
        known &= _is_settled(rows, config)
    try:
        new = np.flatnonzero(~known)
        for part, found, stats, read_ns in _examine(examples, new, ledger.codes, config, kept):
            found["stamp"] = np.where(are_settled(stats, read_ns), stamp_files(stats), 0)
            rows[part] = found
            # A size is a problem only as long as data.max_pixels says so.
            final = (found["problem"] == 0) | (found["width"] == 0)
            ledger.add(paths[part][final], stats[final], found[final], read_ns[final])
    finally:
        ledger.flush()
    ledger.compact()
    if rows["converted"][new].any() and (removed := evict_conversions()):
        logger.info(f"removed {removed / 2**20:.0f} MiB of old conversions from the cache")
    return rows, ledger.codes.texts


def _is_settled(rows: npt.NDArray[np.void], config: DataConfig) -> npt.NDArray[np.bool_]:
    """Returns whether files need not be examined again: not too large, or in the cache as PNG."""
    import numpy as np

    settled = rows["width"].astype(np.int64) * rows["height"] <= config.max_pixels
    is_read = (rows["problem"] == 0) & (~rows["partial"] | (config.damaged == "keep"))
    for index in np.flatnonzero(rows["converted"] & is_read).tolist():
        settled[index] &= converted_file(rows["sha256"][index].tobytes().hex()).is_file()
    return settled


_Examined = tuple[
    "npt.NDArray[np.int64]", "npt.NDArray[np.void]", "npt.NDArray[np.void]", "npt.NDArray[np.int64]"
]


def _examine(
    examples: Examples,
    indices: npt.NDArray[np.int64],
    codes: TextCodes,
    config: DataConfig,
    kept: KeptImages | None,
) -> Iterator[_Examined]:
    """Examines images in threads.

    Yields:
        For a few images at a time: their indices; ROW; STAT, from before they were read; and
        the time of that, by `time.time_ns`.
    """
    import numpy as np

    if not len(indices):
        return

    def scan(start: int) -> list[_Scanned]:
        part = indices[start : start + _CHUNK]
        return [_scan_image(examples, i, config, kept) for i in part.tolist()]

    starts = range(0, len(indices), _CHUNK)
    # The decoder releases the interpreter lock, so the threads run in parallel.
    results = map_in_order(scan, starts, os.cpu_count() or 1)
    with track("examining", len(indices), unit="images") as progress:
        for start, found in zip(starts, results, strict=True):
            scans, stats, read_ns = zip(*found, strict=True)
            rows = np.array([pack(scan, codes) for scan in scans], ROW)
            part = indices[start : start + _CHUNK]
            yield part, rows, np.array(list(stats), STAT), np.array(read_ns, np.int64)
            progress.advance(len(found))


_Scanned = tuple[ImageScan, tuple[int, int, int, int], int]


def _scan_image(
    examples: Examples, index: int, config: DataConfig, kept: KeptImages | None
) -> _Scanned:
    """Returns what an image is, the STAT of its file, and when that was taken."""
    name, read_ns = examples.names[index], time.time_ns()
    if examples.files is None:
        scan = _examine_and_keep(name, examples.read(index), config, kept)
        return scan, NO_FILE, read_ns
    content, problem, stats = _read(Files.of(examples.files).path(index))
    if problem:
        scan = ImageScan(name, format_of(content[:HEAD_BYTES], name), problem=problem)
    else:
        scan = _examine_and_keep(name, content, config, kept)
    return scan, stats, read_ns


def _examine_and_keep(
    name: str, content: bytes, config: DataConfig, kept: KeptImages | None
) -> ImageScan:
    found = examine_image(name, content, config.max_pixels)
    if found.pixels is not None and (not found.scan.partial or config.damaged == "keep"):
        store_conversion(found.scan.sha256, found.pixels)
    if kept is not None and found.pixels is None and not found.scan.problem:
        kept.keep(content, found)
    return found.scan


def _read(path: bytes) -> tuple[bytes, str, tuple[int, int, int, int]]:
    """Reads a file.

    Returns:
        The bytes of an image, and nothing; else its first few bytes, and why it is none. And
        its STAT.
    """
    try:
        # Reading a pipe would block, and a video need not be read to its end.
        if not stat.S_ISREG(os.stat(path).st_mode):
            return b"", "not a file", NO_FILE
        with open(path, "rb") as file:
            stats = stat_values(file.fileno())
            head = file.read(HEAD_BYTES)
            if problem := why_no_image(head, os.fsdecode(path)):
                return head, problem, stats
            return head + file.read(), "", stats
    except (FileNotFoundError, NotADirectoryError):
        return b"", "a broken link" if os.path.islink(path) else MISSING, NO_FILE
    except ValueError:
        return b"", MISSING, NO_FILE  # The name holds a NUL character.
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return b"", MISSING, NO_FILE
        return b"", f"cannot be read: {error.strerror}", NO_FILE
