"""Remarks on labels, splits and copies: what an owner should know before reading metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pipelines.sources.checking.task_columns import count_classes
from pipelines.sources.source import Listing, join_examples
from pipelines.sources.spelling import find_similar
from pipelines.sources.splitting.copies import find_copies_of, group_copies
from zoo.tasks import Task

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

IMBALANCED = 10.0
"""Ratio of the largest to the smallest class from which on accuracy alone misleads."""


def find_remarks(listing: Listing) -> tuple[str, ...]:
    """Finds what the owner of a data set should know of its labels, splits and copies.

    Args:
        listing: The images that decode, with targets.

    Returns:
        One line a remark: classes that differ only in spelling, classes that a split lacks,
        classes of very different size, copies of training images in other splits, groups that
        given splits divide, and copies with different labels.
    """
    return (
        *find_label_remarks(listing),
        *_find_imbalance(listing),
        *_find_leaks(listing),
        *find_divided_groups(listing),
        *_find_conflicts(listing),
    )


def find_label_remarks(listing: Listing) -> Iterator[str]:
    """Yields a remark for classes that differ only in spelling, and for those a split lacks.

    Args:
        listing: The images, with targets.
    """
    yield from _find_similar_classes(listing)
    yield from _find_missing_classes(listing)


def _find_similar_classes(listing: Listing) -> Iterator[str]:
    for task in listing.tasks:
        for group in find_similar(task.class_names):
            names = " and ".join(map(repr, group))
            yield f"{_subject(task)} {names} differ only in spelling; if they are one, rename them"


def _find_missing_classes(listing: Listing) -> Iterator[str]:
    for split in ("val", "test"):
        if split not in listing.splits:
            continue
        for task in listing.tasks:
            if task.kind == "regression":
                continue
            counts = count_classes(listing.splits[split], task)
            missing = [n for n, count in zip(task.class_names, counts, strict=True) if not count]
            if missing:
                named = _list(missing)
                yield f"{split} has no image of {_subject(task, len(missing))} {named}"


def _find_imbalance(listing: Listing) -> Iterator[str]:
    fitted = listing.splits.get("train", listing.splits.get("all"))
    for task in listing.tasks:
        if fitted is None or task.kind != "single_label" or len(task.class_names) < 2:
            continue
        counts = count_classes(fitted, task)
        most, least = int(counts.argmax()), int(counts.argmin())
        if counts[most] >= IMBALANCED * max(1, counts[least]):
            yield (
                f"{counts[most]} images of {task.class_names[most]!r} for {counts[least]} of "
                f"{task.class_names[least]!r} in training: read macro F1 beside accuracy"
            )


def _find_leaks(listing: Listing) -> Iterator[str]:
    train = listing.splits.get("train")
    for split in ("val", "test"):
        if train is None or split not in listing.splits:
            continue
        count = int(find_copies_of(listing.splits[split], train).sum())
        if count:
            total = len(listing.splits[split])
            yield (
                f"{count} of {total} {split} images are copies of training images; metrics on "
                "these are too optimistic"
            )


def find_divided_groups(listing: Listing) -> Iterator[str]:
    """Yields a remark for each split that has images of groups that are trained on, too.

    Args:
        listing: The images; those of `all` are not divided yet.
    """
    import numpy as np

    train = listing.splits.get("train")
    for split in ("val", "test"):
        held_out = listing.splits.get(split)
        if train is None or held_out is None or train.groups is None or held_out.groups is None:
            continue
        divided = np.isin(held_out.groups, train.groups[train.groups >= 0])
        if divided.any():
            first = int(divided.argmax())
            twin = int((train.groups == held_out.groups[first]).argmax())
            yield (
                f"{int(divided.sum())} of {len(held_out)} {split} images belong to groups that "
                f"training has images of, as {held_out.names[first]} and {train.names[twin]}; "
                "metrics on these are too optimistic"
            )


def _find_conflicts(listing: Listing) -> Iterator[str]:
    """Yields a remark if copies of an image have different labels."""
    import numpy as np

    if not listing.splits:
        return
    examples = join_examples(list(listing.splits.values()))
    groups = group_copies(examples)
    if groups is None:
        return
    repeated = np.flatnonzero(np.bincount(groups)[groups] > 1)
    examples, groups = examples.take(repeated), groups[repeated]
    conflicting: set[int] = set()
    for task in listing.tasks:
        conflicting |= _find_conflicting(groups, examples.target(task))
    if conflicting:
        members = np.flatnonzero(groups == min(conflicting))
        shown = " = ".join(examples.names[int(i)] for i in members[:3])
        count = len(conflicting)
        yield (
            f"{count} {'images have' if count > 1 else 'image has'} copies with other labels, as "
            f"{shown}; `zoo audit` lists all"
        )


def _find_conflicting(groups: npt.NDArray[np.int64], targets: npt.NDArray[np.generic]) -> set[int]:
    """Returns the groups of copies whose targets differ."""
    import numpy as np

    rows = np.column_stack([groups, targets.reshape(len(groups), -1)])
    found, counts = np.unique(np.unique(rows, axis=0)[:, 0], return_counts=True)
    return set(found[counts > 1].astype(int).tolist())


def _subject(task: Task, count: int = 2) -> str:
    noun = "label" if task.kind == "multi_label" else "class"
    plural = {"label": "labels", "class": "classes"}[noun] if count > 1 else noun
    return plural if task.bare else f"the {plural} of {task.name!r}"


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:5]))
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
