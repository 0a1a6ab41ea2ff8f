"""What every data set must hold to be trained on, and the line that says what it lacks."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from pipelines.sources.folder import IMAGE_ENDINGS
from pipelines.sources.scan import MISSING, Fact
from pipelines.sources.source import Examples, Listing
from zoo.errors import (
    DataError,
    EmptyClassError,
    NoImagesError,
    SingleClassError,
    UndecodableError,
    UnseenClassError,
)

_LAYOUT = "one folder a class, as ants/1.jpg and bees/2.jpg, perhaps below train/ and val/"


def exclude(listing: Listing, patterns: Sequence[str]) -> Listing:
    """Leaves out what the patterns name; a class that had images and has none left is dropped.

    Args:
        listing: What a reader found.
        patterns: Names, folders or glob patterns, as `DataConfig.exclude`.

    Returns:
        A listing of what stays, its labels counted anew.
    """
    import numpy as np

    if not patterns:
        return listing
    splits: dict[str, Examples] = {}
    before: set[int] = set()
    after: set[int] = set()
    for split, examples in listing.splits.items():
        kept = [i for i, name in enumerate(examples.names) if not _matches(name, patterns)]
        splits[split] = examples.take(kept)
        before |= set(examples.labels.tolist())
        after |= set(splits[split].labels.tolist())
    empty = tuple(name for name in listing.empty if not _matches(name, patterns))
    still_empty = {PurePosixPath(name).name for name in empty}
    staying = [
        label
        for label, name in enumerate(listing.class_names)
        if label in after or (label not in before and name in still_empty)
    ]
    relabel = np.full(len(listing.class_names), -1, dtype=np.int64)
    relabel[staying] = np.arange(len(staying))
    return replace(
        listing,
        class_names=tuple(listing.class_names[label] for label in staying),
        splits={
            split: replace(e, labels=relabel[e.labels]) for split, e in splits.items() if len(e)
        },
        empty=empty,
        outside=tuple(r for r in listing.outside if not _matches(r.name, patterns)),
    )


def check_images(data: str, listing: Listing, *, labeled: bool = True) -> None:
    """Checks that there is something to decode.

    Args:
        data: As the user wrote it.
        listing: What a reader found.
        labeled: Whether an image needs a class.

    Raises:
        EmptyClassError: There are class folders, and all are empty.
        NoImagesError: There is no image that a class claims; says what to lay out.
    """
    if any(len(examples) for examples in listing.splits.values()):
        return
    loose = [r.name for r in listing.outside if not r.name.endswith("/")]
    if listing.empty:
        raise EmptyClassError(
            f"The class folders of {data!r} are empty",
            expected="an image or more in each",
            received=", ".join(f"{name}/" for name in listing.empty[:5]),
        )
    if not labeled:
        raise NoImagesError(
            f"There is no image in {data!r}",
            expected="files that end as images do, as 1.jpg and 2.png",
            mend="check the path",
        )
    raise NoImagesError(
        f"There is no labeled image in {data!r}",
        expected=_LAYOUT,
        received=f"{len(loose)} images outside class folders, such as {loose[0]}"
        if loose
        else "none",
        mend="make a folder for each class and move its images there"
        if loose
        else "check the path",
    )


def check_classes(data: str, listing: Listing, *, found: str = "image") -> None:
    """Checks that there are two classes or more, and that training sees each of them.

    A name, too, must do: SavedModels list the classes one a line in labels.txt.

    Args:
        data: As the user wrote it.
        listing: What is left of what a reader found.
        found: What a class lacks, in the message.

    Raises:
        EmptyClassError: A class folder, or a class, holds nothing.
        UnseenClassError: A class stands in val or test and not in train.
        SingleClassError: There is one class.
        DataError: A class's name cannot stand on a line of its own.
    """
    import numpy as np

    for name in listing.class_names:
        check_name(data, name)
    if listing.empty:
        raise EmptyClassError(
            f"Class folders of {data!r} are empty",
            expected="an image or more in each",
            received=", ".join(f"{name}/" for name in listing.empty[:5]),
            mend="add images, remove the folder, or name it in data.exclude",
        )
    counts = {
        split: np.bincount(examples.labels, minlength=len(listing.class_names))
        for split, examples in listing.splits.items()
    }
    fitted = counts.get("train", counts.get("all", np.zeros(len(listing.class_names), np.int64)))
    judged = [split for split in counts if split in ("val", "test")]
    for label, name in enumerate(listing.class_names):
        if fitted[label]:
            continue
        holders = [split for split in judged if counts[split][label]]
        if holders:
            raise UnseenClassError(
                f"Class {name!r} of {data!r} has images in {' and '.join(holders)} and none in "
                "train",
                expected="every class in train",
                mend="add some of its images to train, or name it in data.exclude",
            )
        raise EmptyClassError(
            f"Class {name!r} of {data!r} has no {found}",
            expected="one or more",
            mend="add images, or remove the class",
        )
    if len(listing.class_names) < 2:
        only = listing.class_names[0] if listing.class_names else ""
        mend = "add a second class"
        if _is_one_level_too_high(listing):
            mend = f"point at the folder {only!r} in it, if that holds the class folders"
        raise SingleClassError(
            f"There is one class in {data!r}, so there is nothing to tell apart",
            expected="two classes or more",
            received=only,
            mend=mend,
        )


def check_name(data: str, name: str) -> None:
    """Checks that a class's name can stand on a line of its own.

    Raises:
        DataError: It cannot.
    """
    if name.splitlines() != [name] or name != name.strip():
        raise DataError(
            f"The name of class {name!r} of {data!r} cannot stand on a line of labels.txt",
            expected="a name without line breaks, and without blanks at its ends",
            mend="rename the class",
        )


def check_decodable(data: str, facts: Sequence[Fact], limit: float) -> None:
    """Checks that no file is missing and few enough fail to decode.

    Args:
        data: As the user wrote it.
        facts: Of every image, in all splits.
        limit: Share of the files, 0 to 1, that may fail.

    Raises:
        DataError: A file that a table names does not exist.
        UndecodableError: More than `limit` of the files fail.
    """
    missing = [fact.name for fact in facts if fact.problem == MISSING]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(facts)} images that {data!r} names are missing",
            received=", ".join(map(_shown, missing[:3])) + (", …" if len(missing) > 3 else ""),
            mend="correct the paths, which are relative to the table's own folder",
        )
    failed = [fact for fact in facts if fact.problem]
    # Divided, since 0.29 * 100 is less than 29.
    if failed and len(failed) / len(facts) > limit:
        named = ", ".join(f"{_shown(fact.name)} ({fact.problem})" for fact in failed[:3])
        raise UndecodableError(
            f"{len(failed)} of {len(facts)} files in {data!r} cannot be decoded",
            expected=f"at most {limit:.4g} of them",
            received=named + (", …" if len(failed) > 3 else ""),
            mend=_mend(failed),
        )


def _shown(name: str) -> str:
    """A name fit for a line: not too long, and without characters that move the cursor."""
    text = name if name.isprintable() else repr(name)
    return text if len(text) <= 80 else f"{text[:40]}…{text[-39:]}"


def _mend(failed: Sequence[Fact]) -> str:
    """How to go on: leave a kind of file out that is no image at all, or look at each."""
    endings = Counter(PurePosixPath(fact.name).suffix.lower() for fact in failed)
    ending, count = endings.most_common(1)[0]
    if ending and ending not in IMAGE_ENDINGS and count > len(failed) / 2:
        return f"leave them out with --set 'data.exclude=[\"*{ending}\"]'"
    return "mend or remove them (`zoo audit` lists all), or raise data.max_undecodable"


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(
        # A name may hold brackets, which a pattern gives another meaning.
        name == pattern
        or name.startswith(pattern.rstrip("/") + "/")
        or fnmatch.fnmatchcase(name, pattern)
        for pattern in patterns
    )


def _is_one_level_too_high(listing: Listing) -> bool:
    below = (
        {PurePosixPath(name).parts[1:-1] for name in listing.splits["all"].names}
        if "all" in listing.splits
        else set()
    )
    return len(below) > 1 and () not in below
