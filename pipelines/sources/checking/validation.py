"""Validate that a data set can be trained on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pipelines.sources.config import NEAR_DUPLICATES, TIME
from pipelines.sources.examining.examination import MISSING, ImageScan
from pipelines.sources.examining.formats import IMAGE_EXTENSIONS
from pipelines.sources.examining.scan_table import ScanTable
from pipelines.sources.exclusion import quote_exclude
from pipelines.sources.listing.table_paths import propose_settings
from pipelines.sources.source import Listing
from zoo.errors import (
    DataError,
    EmptyClassError,
    NoImagesError,
    SingleClassError,
    UndecodableError,
    UnseenClassError,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_LAYOUT = "one folder per class, as ants/1.jpg and bees/2.jpg, perhaps below train/ and val/"


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
            mend=f"add images, or leave them out with --set {quote_exclude(*listing.empty)}",
        )
    counts = {
        split: np.bincount(examples.labels, minlength=len(listing.class_names))
        for split, examples in listing.splits.items()
    }
    fitted = counts.get("train", counts.get("all", np.zeros(len(listing.class_names), np.int64)))
    names = np.array(listing.class_names, object)
    held_out = {split: found for split, found in counts.items() if split in ("val", "test")}
    unseen = (fitted == 0) & (sum(held_out.values(), np.zeros_like(fitted)) > 0)
    if unseen.any():
        first = int(np.argmax(unseen))
        holders = [split for split, found in held_out.items() if found[first]]
        raise UnseenClassError(
            f"Class {names[first]!r} of {data!r} has images in {' and '.join(holders)} and none in "
            f"train{_and_others(unseen)}",
            expected="every class in train",
            mend="add some to train" + _or_leave_out(names, unseen),
        )
    if (fitted == 0).any():
        missing = names[fitted == 0]
        raise EmptyClassError(
            f"Class {missing[0]!r} of {data!r} has no {found}{_and_others(fitted == 0)}",
            expected="at least one",
            mend="add images" + _or_leave_out(names, fitted == 0),
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


def _and_others(selected: npt.NDArray[np.bool_]) -> str:
    others = int(selected.sum()) - 1
    return f", like {others} other{'s' if others > 1 else ''}" if others else ""


def _or_leave_out(names: npt.NDArray[np.object_], selected: npt.NDArray[np.bool_]) -> str:
    """Returns the proposal to leave classes out, if there are two others."""
    if int((~selected).sum()) < 2:
        return ""
    return f", or leave out with --set {quote_exclude(*names[selected])}"


def check_groups(data: str, listing: Listing, pattern: str) -> None:
    """Checks that images are grouped, where they are by their names or by time.

    Args:
        data: DATA as the user wrote it.
        listing: The images, with their groups.
        pattern: `DataConfig.group`; nothing is checked of near-duplicates, and if it is empty.

    Raises:
        DataError: A pattern matches no name, or no image says when it was taken.
    """
    parts = listing.splits.values()
    if pattern in ("", NEAR_DUPLICATES):
        return
    if any(e.groups is not None and (e.groups >= 0).any() for e in parts):
        return
    if pattern == TIME:
        raise DataError(
            f"no image of {data!r} says when it was taken",
            expected="photographs with EXIF DateTimeOriginal",
            received=TIME,
            mend="group them by their names, or group none with --set 'data.group=\"\"'",
        )
    raise DataError(
        f"data.group matches no image of {data!r}",
        expected=f"a regular expression for names such as {next(iter(parts)).names[0]}",
        received=pattern,
        mend="correct it, or group none with --set 'data.group=\"\"'",
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
            mend=_advise(table, failed, limit),
        )


def check_splits_decode(
    data: str, before: Mapping[str, Sequence[ImageScan]], decodable: Listing
) -> None:
    """Checks that each split with images has some that decode.

    Args:
        data: DATA as the user wrote it.
        before: Results for all images, by split.
        decodable: The images that decode.

    Raises:
        UndecodableError: A split has none, so that a share of train would take its place.
    """
    for split, scans in before.items():
        if split in ("val", "test") and len(scans) and split not in decodable.splits:
            raise UndecodableError(
                f"None of the {len(scans)} images in the {split} split of {data!r} can be decoded",
                expected="one at least",
                received=f"{_abbreviate(scans[0].name)} ({scans[0].problem})",
                mend="mend these files; without that split a share of train takes its place",
            )


def _abbreviate(name: str) -> str:
    """Returns a name of at most 80 characters, with control characters escaped."""
    text = name if name.isprintable() else repr(name)
    return text if len(text) <= 80 else f"{text[:40]}…{text[-39:]}"


def _advise(scans: ScanTable, failed: Sequence[ImageScan], limit: float) -> str:
    """Returns how to mend it: exclude what is no image, keep what is damaged, or admit more."""
    failing = Counter(_extension(scan.name) for scan in failed)
    foreign = {e: n for e, n in failing.items() if e and e not in IMAGE_EXTENSIONS}
    all_of = Counter(map(_extension, scans.names))
    hopeless = [extension for extension, count in foreign.items() if count == all_of[extension]]
    num_excluded = sum(foreign[extension] for extension in hopeless)
    if len(failed) - num_excluded <= limit * (len(scans) - num_excluded) and hopeless:
        patterns = (f"*{extension}" for extension in hopeless)
        return f"leave them out with --set {quote_exclude(*patterns)}"
    num_partial = sum(scan.partial for scan in failed)
    if num_partial and len(failed) - num_partial <= limit * len(scans):
        return (
            "mend or remove them (`zoo audit` lists all), or use what is left of the damaged ones "
            "with --set data.damaged=keep"
        )
    share = min(1.0, math.ceil(100 * len(failed) / len(scans)) / 100)
    return (
        "mend or remove them (`zoo audit` lists all), or go on without them with "
        f"--set data.max_undecodable={share:g}"
    )


def _extension(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _has_class_folders_below(listing: Listing) -> bool:
    """Whether the single class looks like a folder of class folders."""
    below = (
        {PurePosixPath(name).parts[1:-1] for name in listing.splits["all"].names}
        if "all" in listing.splits
        else set()
    )
    return len(below) > 1 and () not in below
