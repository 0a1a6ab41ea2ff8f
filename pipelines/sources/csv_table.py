"""Read a .csv file of image paths and labels."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.sources.columns import ByteStrings, Files, Texts
from pipelines.sources.folder import SPLIT_NAMES
from pipelines.sources.source import Examples, Finding, Listing
from zoo.errors import DataError
from zoo.tasks import LABEL

UNLABELED = ("images",)
"""Class names of images without labels: one class."""

_Values = tuple[str, ...]
"""The values of a row: its split, then the requested columns."""


def read_csv(data: str, columns: Sequence[str] | None = None) -> Listing:
    """Lists the images in a CSV file with the columns `path`, `label` and perhaps `split`.

    The case of these three headings does not matter. Paths are relative to the folder
    of the file. Classes are sorted by name. A row that repeats another is left out and
    reported.

    Args:
        data: Path of the file; UTF-8, with or without a byte-order mark.
        columns: Columns to read as text instead of `label`. Missing columns are
            skipped, and a cell may be empty.

    Returns:
        The splits that the column `split` names, or `all` if there is no such column.

    Raises:
        DataError: The file does not exist or is no such table, a row lacks a value, or
            two rows contradict each other about one image.
    """
    import numpy as np

    path = Path(data)
    requested = (LABEL,) if columns is None else tuple(dict.fromkeys(columns))
    required = ["path", LABEL] if columns is None else ["path"]
    header, rows = _rows(path, data, required)
    present = [column for column in requested if column in header]
    required += ["split"] if "split" in header else []
    rows_by_name: dict[str, tuple[int, _Values]] = {}
    repeated: list[Finding] = []
    for line, row in rows:
        split = "all"
        for column in required:
            if not row[column]:
                raise DataError(f"Line {line} of {data!r} has no {column}", mend="fill it in")
        if "split" in header:
            if row["split"].lower() not in SPLIT_NAMES:
                raise DataError(
                    f"Line {line} of {data!r} names an unknown split",
                    expected="train, val or test",
                    received=repr(row["split"]),
                )
            split = SPLIT_NAMES[row["split"].lower()]
        # `a/b.jpg` and `a\\.\\b.jpg` are the same image.
        name = os.path.normpath(row["path"].replace("\\", "/")).replace(os.sep, "/")
        values = (split, *(row[column] for column in present))
        if name not in rows_by_name:
            rows_by_name[name] = (line, values)
        elif rows_by_name[name][1] == values:
            repeated.append(Finding(name, f"listed again on line {line}"))
        else:
            raise DataError(
                f"Lines {rows_by_name[name][0]} and {line} of {data!r} disagree about {name}",
                expected=f"one {' and one '.join((*present, 'split'))} per image",
                received=" and ".join(
                    "/".join((*cells, *([] if split == "all" else [split])))
                    for split, *cells in (rows_by_name[name][1], values)
                ),
            )
    splits = {}
    for split in ("all", "train", "val", "test"):
        names = sorted(n for n, (_, values) in rows_by_name.items() if values[0] == split)
        if names:
            paths = ByteStrings.of(map(os.fsencode, names))
            splits[split] = Examples(
                names=Texts(paths),
                labels=np.zeros(len(names), np.int64),
                files=Files(str(path.parent), paths),
                columns={
                    column: tuple(rows_by_name[name][1][position] for name in names)
                    for position, column in enumerate(present, start=1)
                },
            )
    if splits and not {"all", "train"} & set(splits):
        raise DataError(
            f"No line of {data!r} belongs to the train split",
            expected="train in the column split",
            received=", ".join(splits),
        )
    column_names = tuple(name for name in header if name not in ("path", "split"))
    listing = Listing(UNLABELED, splits, ignored=tuple(repeated), column_names=column_names)
    return listing if columns is not None else _with_labels(listing)


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


def _rows(
    path: Path, data: str, required: Sequence[str]
) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Returns the headings, and the rows by line number, with spaces stripped."""
    try:
        # utf-8-sig drops the byte-order mark that spreadsheets write.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="", strict=True)
            header = [_heading(name or "") for name in reader.fieldnames or ()]
            if not set(required) <= set(header):
                raise DataError(
                    f"The table {data!r} lacks a column",
                    expected=f"{', '.join(required)} and perhaps split, with commas between them",
                    received=", ".join(header) or "an empty file",
                    mend="name the columns in the first line",
                )
            reader.fieldnames = header
            rows = []
            for row in reader:
                kept = {column: (row[column] or "").strip() for column in header}
                if any(kept.values()):
                    rows.append((reader.line_num, kept))
            return header, rows
    except OSError as error:
        raise DataError(
            f"Cannot read the table {data!r}: {error.strerror}", mend="check the path"
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"The table {data!r} is not in UTF-8",
            received=f"byte 0x{error.object[error.start]:02x} at {error.start}",
            mend="save it as 'CSV UTF-8'",
        ) from None
    except csv.Error as error:
        raise DataError(f"The table {data!r} is not valid CSV: {error}") from None
    except ValueError:
        raise DataError(
            f"There is no table {data!r}",
            expected="the path of a .csv file",
            received="a name with a NUL character",
            mend="check the path",
        ) from None


def _heading(text: str) -> str:
    name = text.strip()
    return name.lower() if name.lower() in ("path", LABEL, "split") else name
