"""Read a table of image paths and labels, a .csv or .tsv file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.sources.columns import ByteStrings, Files, Texts
from pipelines.sources.config import DataConfig
from pipelines.sources.listing.groups import with_groups
from pipelines.sources.listing.table_file import read_table
from pipelines.sources.source import UNLABELED, Examples, Finding, Listing
from pipelines.sources.spelling import FileFinder
from pipelines.sources.split_names import SPLIT_NAMES, split_of
from zoo.errors import DataError
from zoo.tasks import LABEL

_Values = tuple[str, ...]
"""The values of a row: its split, its group, then the requested columns."""


def read_csv(
    data: str, columns: Sequence[str] | None = None, config: DataConfig | None = None
) -> Listing:
    """Lists the images in a table with the columns `path`, `label`, perhaps `split` and `group`.

    `config.columns` names them if they are called otherwise; the case of these headings
    does not matter. Commas, semicolons or tabs separate the cells. Paths are relative to
    the folder of the file, or to `config.folder`, and `config.suffix` completes them.
    Classes are sorted by name. A row that repeats another is left out and reported.

    Args:
        data: Path of the file; UTF-8, with or without a byte-order mark.
        columns: Columns to read as text instead of `label`. Missing columns are
            skipped, and a cell may be empty.
        config: How the table names its columns and files; None takes the defaults.

    Returns:
        The splits that the column `split` names, or `all` if there is no such column. Images
        whose cell of the column `group` is the same are grouped.

    Raises:
        DataError: The file does not exist or is no such table, a row lacks a value, or
            two rows contradict each other about one image.
    """
    import numpy as np

    config = config or DataConfig()
    root = Path(data).parent
    requested = (LABEL,) if columns is None else tuple(dict.fromkeys(columns))
    headings = config.columns.model_dump()
    if "group" in requested:  # a task's column
        del headings["group"]
    extra = [column for column in ("split", "group") if headings.get(column)]
    # A column of another name is there, if the user says so.
    named = [column for column in extra if headings[column] != column]
    required = ("path", *((LABEL,) if columns is None else ()), *named)
    optional = (*extra, *requested)
    found = read_table(data, headings, required, optional)
    if not found.lines:
        raise DataError(
            f"The table {data!r} has a first line with the names of columns and nothing below",
            expected="a line for each image",
            mend="add the images",
        )
    grouped = "group" in extra and "group" in found.cells
    present = [column for column in requested if column in found.cells]
    filled = dict.fromkeys((*required, *(["split"] if "split" in found.cells else [])))
    filled.pop("group", None)  # an image may stand alone
    finder = FileFinder(root)
    rows_by_name: dict[str, tuple[int, _Values]] = {}
    repeated: list[Finding] = []
    for index, line in enumerate(found.lines):
        for column in filled:
            if not found.cells[column][index]:
                raise DataError(f"Line {line} of {data!r} has no {column}", mend="fill it in")
        split = _read_split(data, line, found.cells["split"][index]) if "split" in filled else "all"
        name = finder.find(_read_name(data, line, found.cells["path"][index], config))
        group = found.cells["group"][index] if grouped else ""
        values = (split, group, *(found.cells[column][index] for column in present))
        if name not in rows_by_name:
            rows_by_name[name] = (line, values)
        elif rows_by_name[name][1] == values:
            repeated.append(Finding(name, f"listed again on line {line}"))
        else:
            lines = f"Lines {rows_by_name[name][0]} and {line} of {data!r}"
            raise _contradiction(lines, name, present, rows_by_name[name][1], values)
    splits = {}
    groups = {}
    for split in ("all", "train", "val", "test"):
        names = sorted(n for n, (_, values) in rows_by_name.items() if values[0] == split)
        if names:
            groups[split] = [rows_by_name[name][1][1] for name in names]
            paths = ByteStrings.of(map(os.fsencode, names))
            splits[split] = Examples(
                names=Texts(paths),
                labels=np.zeros(len(names), np.int64),
                files=Files(str(root), paths),
                columns={
                    column: tuple(rows_by_name[name][1][position] for name in names)
                    for position, column in enumerate(present, start=2)
                },
            )
    if not {"all", "train"} & set(splits):
        raise DataError(
            f"No line of {data!r} belongs to the train split",
            expected="train in the column split",
            received=", ".join(splits),
            mend="write train where the model is to learn from an image",
        )
    special = {headings[column].casefold() for column in ("path", *extra)}
    column_names = tuple(
        LABEL if name.casefold() == headings[LABEL].casefold() else name
        for name in found.header
        if name and name.casefold() not in special
    )
    listing = Listing(UNLABELED, splits, ignored=tuple(repeated), column_names=column_names)
    if grouped:
        listing = with_groups(listing, groups)
    return listing if columns is not None else _with_labels(listing)


def _contradiction(
    lines: str, name: str, columns: Sequence[str], one: _Values, other: _Values
) -> DataError:
    """Returns the error of two rows that differ in an image's split, group or other columns."""

    def show(values: _Values) -> str:
        split, group, *cells = values
        return "/".join((*cells, *([] if split == "all" else [split]), *filter(None, [group])))

    named = (*columns, "split", *(["group"] if one[1] or other[1] else []))
    return DataError(
        f"{lines} disagree about {name}",
        expected=f"one {' and one '.join(named)} per image",
        received=f"{show(one)} and {show(other)}",
        mend="remove one of the lines",
    )


def _read_split(data: str, line: int, text: str) -> str:
    """Returns the split that a cell names.

    Raises:
        DataError: It is none.
    """
    split = split_of(text)
    if not split:
        raise DataError(
            f"Line {line} of {data!r} names an unknown split",
            expected="train, val or test, or another name of them: "
            + ", ".join(name for name in SPLIT_NAMES if name not in ("train", "val", "test")),
            received=repr(text),
            mend="rename it; or, if the column is no split, --set 'data.columns.split=\"\"'",
        )
    return split


def _read_name(data: str, line: int, path: str, config: DataConfig) -> str:
    """Returns the file that a cell names, relative to the folder of the table.

    Raises:
        DataError: The cell has a line break.
    """
    if "\n" in path or "\r" in path:
        raise DataError(
            f"The path on line {line} of {data!r} has a line break",
            expected="one path a line",
            received=repr(path[:80]),
            mend='close the quote (") that opens there',
        )
    # `a/b.jpg` and `a\\.\\b.jpg` are the same image.
    name = os.path.normpath(os.path.join(config.folder, path.replace("\\", "/")))
    name = name.replace(os.sep, "/")
    return name if name.lower().endswith(config.suffix.lower()) else name + config.suffix


def _with_labels(listing: Listing) -> Listing:
    """Returns the listing labeled by its column `label`, with classes sorted by name."""
    import numpy as np

    texts = {split: examples.columns[LABEL] for split, examples in listing.splits.items()}
    class_names = tuple(sorted({text for found in texts.values() for text in found}))
    index = {name: label for label, name in enumerate(class_names)}
    splits = {
        split: replace(
            examples, labels=np.array([index[t] for t in texts[split]], np.int64), columns={}
        )
        for split, examples in listing.splits.items()
    }
    return replace(listing, class_names=class_names, splits=splits)
