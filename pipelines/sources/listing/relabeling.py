"""Correct labels by the table that `data.relabel` names; the data set itself stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipelines.sources.listing.table_file import read_table
from pipelines.sources.source import UNLABELED, Examples, Finding, Listing
from pipelines.sources.spelling import to_nfc
from zoo.errors import DataError
from zoo.table import find_near_names
from zoo.tasks import LABEL

_MOST_COMPARED = 20_000
"""Names that a mistyped one is compared with, at most: a second's work."""


def relabel_images(data: str, listing: Listing, table: str, *, strict: bool = True) -> Listing:
    """Gives the images that a table names the classes that it says.

    How many labels change, and how many images have none now and are left out, is added to the
    hints.

    Args:
        data: DATA as the user wrote it.
        listing: The images that a reader found, each of a class.
        table: A .csv or .tsv file with the columns `path`, names as in the messages, and `label`;
            an image with an empty label is left out. Empty changes nothing.
        strict: Whether the table must be there and be of these images. Otherwise, of other
            images than those it was made for, only rows that name an image count.

    Raises:
        DataError: The table cannot be read or contradicts itself, or names a class or an image
            that the data set lacks.
    """
    if not table or listing.class_names == UNLABELED:
        return listing
    try:
        wanted = _read(table)
    except DataError as error:
        if strict:
            raise
        return replace(listing, ignored=(*listing.ignored, Finding("data.relabel", str(error))))
    numbers = {name: number for number, name in enumerate(listing.class_names)}
    if strict:
        known = {to_nfc(name) for examples in listing.splits.values() for name in examples.names}
        for name, (line, label) in wanted.items():
            if name not in known:
                raise _unknown(table, line, "image", name, f"a name in {data}", [*known])
            if label and label not in numbers:
                raise _unknown(table, line, "class", label, "a class of the data set", [*numbers])
    splits: dict[str, Examples] = {}
    num_changed = num_left_out = 0
    for split, examples in listing.splits.items():
        labels = examples.labels.copy()
        stays = labels >= 0
        for index, name in enumerate(map(to_nfc, examples.names)):
            if name not in wanted:
                continue
            _, label = wanted[name]
            if label:
                labels[index] = numbers.get(label, labels[index])
            else:
                stays[index] = False
        num_changed += int((labels != examples.labels).sum())
        num_left_out += int((~stays).sum())
        splits[split] = replace(examples, labels=labels).take(stays.nonzero()[0])
    num_images = sum(map(len, listing.splits.values()))
    hint = (
        f"data.relabel changes {num_changed} of {num_images} labels and leaves {num_left_out} out"
    )
    found = {split: examples for split, examples in splits.items() if len(examples)}
    return replace(listing, splits=found, hints=(*listing.hints, hint))


def _read(table: str) -> dict[str, tuple[int, str]]:
    """Returns the line and the label of each image that a table names."""
    found = read_table(table, {}, ("path", LABEL))
    wanted: dict[str, tuple[int, str]] = {}
    for line, path, label in zip(found.lines, found.cells["path"], found.cells[LABEL], strict=True):
        name, label = to_nfc(path), to_nfc(label)
        before = wanted.setdefault(name, (line, label))
        if before[1] != label:
            raise DataError(
                f"Lines {before[0]} and {line} of {table!r} give {name} two labels",
                received=f"{before[1]!r} and {label!r}",
                mend="leave one of them",
            )
    return wanted


def _unknown(
    table: str, line: int, what: str, name: str, expected: str, known: Sequence[str]
) -> DataError:
    near = find_near_names(name, known) if len(known) <= _MOST_COMPARED else []
    return DataError(
        f"Line {line} of {table!r} names the {what} {name!r}, which the data set lacks",
        expected=expected + (f", such as {', '.join(near)}" if near else ""),
        mend="correct the line, or remove it",
    )
