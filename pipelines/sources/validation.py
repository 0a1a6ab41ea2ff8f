"""Validate that a data set can be trained on; leave excluded images out."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from pipelines.sources.examination import MISSING, ImageScan
from pipelines.sources.folder import IMAGE_EXTENSIONS
from pipelines.sources.scan_table import ScanTable
from pipelines.sources.source import Examples, Listing
from pipelines.sources.table_paths import propose_settings
from zoo.errors import (
    DataError,
    EmptyClassError,
    NoImagesError,
    SingleClassError,
    UndecodableError,
    UnseenClassError,
)

_LAYOUT = "one folder per class, as ants/1.jpg and bees/2.jpg, perhaps below train/ and val/"


def exclude_images(listing: Listing, patterns: Sequence[str]) -> Listing:
    """Leaves out the images that match a pattern.

    A class that had images and has none left is dropped, and the labels are renumbered.

    Args:
        listing: The images that a reader found.
        patterns: Names, folders or glob patterns, as in `DataConfig.exclude`.
    """
    import numpy as np

    if not patterns:
        return listing
    splits: dict[str, Examples] = {}
    labels_before: set[int] = set()
    labels_after: set[int] = set()
    for split, examples in listing.splits.items():
        kept = [i for i, name in enumerate(examples.names) if not _matches(name, patterns)]
        splits[split] = examples.take(kept)
        labels_before |= set(examples.labels.tolist())
        labels_after |= set(splits[split].labels.tolist())
    empty = tuple(name for name in listing.empty if not _matches(name, patterns))
    empty_classes = {PurePosixPath(name).name for name in empty}
    kept_labels = [
        label
        for label, name in enumerate(listing.class_names)
        if label in labels_after or (label not in labels_before and name in empty_classes)
    ]
    relabel = np.full(len(listing.class_names), -1, dtype=np.int64)
    relabel[kept_labels] = np.arange(len(kept_labels))
    return replace(
        listing,
        class_names=tuple(listing.class_names[label] for label in kept_labels),
        splits={
            split: replace(e, labels=relabel[e.labels]) for split, e in splits.items() if len(e)
        },
        empty=empty,
        ignored=tuple(r for r in listing.ignored if not _matches(r.name, patterns)),
    )


def check_not_empty(data: str, listing: Listing, *, labeled: bool = True) -> None:
    """Checks that a data set has images.

    Args:
        data: DATA as the user wrote it.
        listing: The images that a reader found.
        labeled: Whether images need a class.

    Raises:
        EmptyClassError: All class folders are empty.
        NoImagesError: There is no image with a class, or no image at all.
    """
    if any(len(examples) for examples in listing.splits.values()):
        return
    unlabeled = [r.name for r in listing.ignored if not r.name.endswith("/")]
    if listing.empty:
        raise EmptyClassError(
            f"The class folders of {data!r} are empty",
            expected="at least one image in each",
            received=", ".join(f"{name}/" for name in listing.empty[:5]),
        )
    if not labeled:
        raise NoImagesError(
            f"There is no image in {data!r}",
            expected="files with the extension of an image, such as 1.jpg and 2.png",
            mend="check the path",
        )
    raise NoImagesError(
        f"There is no labeled image in {data!r}",
        expected=_LAYOUT,
        received=f"{len(unlabeled)} images outside class folders, such as {unlabeled[0]}"
        if unlabeled
        else "none",
        mend="make a folder for each class and move its images there"
        if unlabeled
        else "check the path",
    )


def check_classes(data: str, listing: Listing, *, found: str = "image") -> None:
    """Checks that there are at least two classes, each with training images.

    Args:
        data: DATA as the user wrote it.
        listing: The images, without those that are excluded.
        found: What an empty class has none of, for the message.

    Raises:
        EmptyClassError: A class, or a class folder of a split, has no image.
        UnseenClassError: A class has images in val or test and none in train.
        SingleClassError: There is only one class.
        DataError: The name of a class does not fit on a line of labels.txt.
    """
    import numpy as np

    for name in listing.class_names:
        check_class_name(data, name)
    if listing.empty:
        raise EmptyClassError(
            f"Class folders of {data!r} are empty",
            expected="at least one image in each",
            received=", ".join(f"{name}/" for name in listing.empty[:5]),
            mend="add images, remove the folder, or name it in data.exclude",
        )
    counts = {
        split: np.bincount(examples.labels, minlength=len(listing.class_names))
        for split, examples in listing.splits.items()
    }
    fitted = counts.get("train", counts.get("all", np.zeros(len(listing.class_names), np.int64)))
    held_out = [split for split in counts if split in ("val", "test")]
    for label, name in enumerate(listing.class_names):
        if fitted[label]:
            continue
        holders = [split for split in held_out if counts[split][label]]
        if holders:
            raise UnseenClassError(
                f"Class {name!r} of {data!r} has images in {' and '.join(holders)} and none in "
                "train",
                expected="every class in train",
                mend="add some of its images to train, or name it in data.exclude",
            )
        raise EmptyClassError(
            f"Class {name!r} of {data!r} has no {found}",
            expected="at least one",
            mend="add images, or remove the class",
        )
    if len(listing.class_names) < 2:
        only = listing.class_names[0] if listing.class_names else ""
        mend = "add a second class"
        if _has_class_folders_below(listing):
            mend = f"point at the folder {only!r} in it, if that holds the class folders"
        raise SingleClassError(
            f"There is one class in {data!r}, so there is nothing to tell apart",
            expected="at least two classes",
            received=only,
            mend=mend,
        )


def check_class_name(data: str, name: str) -> None:
    """Checks that the name of a class fits on a line of labels.txt, where exports list them.

    Raises:
        DataError: The name has line breaks, or blanks at its ends.
    """
    if name.splitlines() != [name] or name != name.strip():
        raise DataError(
            f"The name of class {name!r} of {data!r} does not fit on a line of labels.txt",
            expected="a name without line breaks, and without blanks at its ends",
            mend="rename the class",
        )


def check_decodable(data: str, scans: Sequence[ImageScan], limit: float) -> None:
    """Checks that no file is missing and that few enough fail to decode.

    Args:
        data: DATA as the user wrote it.
        scans: Results for all images, of all splits.
        limit: Share of the files, 0 to 1, that may fail.

    Raises:
        DataError: A file that a table names does not exist.
        UndecodableError: More than `limit` of the files fail.
    """
    import numpy as np

    table = ScanTable.of(scans)
    failed = list(table.take(np.flatnonzero(table.has("problem"))))
    missing = [scan.name for scan in failed if scan.problem == MISSING]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(scans)} images that {data!r} names are missing",
            received=", ".join(map(_abbreviate, missing[:3])) + (", …" if len(missing) > 3 else ""),
            mend=propose_settings(data, missing),
        )
    # A division, because 0.29 * 100 is less than 29.
    if failed and len(failed) / len(scans) > limit:
        named = ", ".join(f"{_abbreviate(scan.name)} ({scan.problem})" for scan in failed[:3])
        raise UndecodableError(
            f"{len(failed)} of {len(scans)} files in {data!r} cannot be decoded",
            expected=f"at most {limit:.4g} of them",
            received=named + (", …" if len(failed) > 3 else ""),
            mend=_advise(failed),
        )


def _abbreviate(name: str) -> str:
    """Returns a name of at most 80 characters, with control characters escaped."""
    text = name if name.isprintable() else repr(name)
    return text if len(text) <= 80 else f"{text[:40]}…{text[-39:]}"


def _advise(failed: Sequence[ImageScan]) -> str:
    """Returns how to mend it: exclude an extension that is no image's, or repair the files."""
    extensions = Counter(PurePosixPath(scan.name).suffix.lower() for scan in failed)
    extension, count = extensions.most_common(1)[0]
    if extension and extension not in IMAGE_EXTENSIONS and count > len(failed) / 2:
        return f"leave them out with --set 'data.exclude=[\"*{extension}\"]'"
    return "mend or remove them (`zoo audit` lists all), or raise data.max_undecodable"


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(
        # A name may contain brackets, which are special in a pattern.
        name == pattern
        or name.startswith(pattern.rstrip("/") + "/")
        or fnmatch.fnmatchcase(name, pattern)
        for pattern in patterns
    )


def _has_class_folders_below(listing: Listing) -> bool:
    """Whether the single class looks like a folder of class folders."""
    below = (
        {PurePosixPath(name).parts[1:-1] for name in listing.splits["all"].names}
        if "all" in listing.splits
        else set()
    )
    return len(below) > 1 and () not in below
