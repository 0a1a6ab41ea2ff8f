"""A .csv file that names images and their labels."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.sources.folder import SPLIT_NAMES
from pipelines.sources.source import Examples, Listing, Remark
from zoo.errors import DataError
from zoo.tasks import LABEL

ONE = ("images",)
"""The classes of images that are of no class."""

_Said = tuple[str, ...]
"""What a row says of its image: its split, then the columns that were asked for."""


def read_csv(data: str, columns: Sequence[str] | None = None) -> Listing:
    """Lists the images that a CSV file names: columns `path`, `label`, perhaps `split`.

    Those three may be written in capitals too. Paths are relative to the file's own
    folder. The classes are in the order of their names. A row that repeats another is
    left out with a remark.

    Args:
        data: The file's path; UTF-8, with or without a byte-order mark.
        columns: Columns to read instead of `label`, as texts; those that are not there
            are passed over, and a cell may be empty.

    Returns:
        The splits that the column `split` names, or `all` where there is none.

    Raises:
        DataError: The file is absent or no such table, a row lacks a value, or two
            rows say different things about one image.
    """
    import numpy as np

    path = Path(data)
    asked = (LABEL,) if columns is None else tuple(dict.fromkeys(columns))
    required = ["path", LABEL] if columns is None else ["path"]
    header, rows = _rows(path, data, required)
    wanted = [column for column in asked if column in header]
    required += ["split"] if "split" in header else []
    chosen: dict[str, tuple[int, _Said]] = {}
    repeated: list[Remark] = []
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
        # Spelled in two ways, a path still is one image.
        name = os.path.normpath(row["path"].replace("\\", "/")).replace(os.sep, "/")
        said = (split, *(row[column] for column in wanted))
        if name not in chosen:
            chosen[name] = (line, said)
        elif chosen[name][1] == said:
            repeated.append(Remark(name, f"listed again on line {line}"))
        else:
            raise DataError(
                f"Lines {chosen[name][0]} and {line} of {data!r} disagree about {name}",
                expected=f"one {' and one '.join((*wanted, 'split'))} for an image",
                received=" and ".join(
                    "/".join((*values, *([] if split == "all" else [split])))
                    for split, *values in (chosen[name][1], said)
                ),
            )
    splits = {}
    for split in ("all", "train", "val", "test"):
        names = sorted(name for name, (_, said) in chosen.items() if said[0] == split)
        if names:
            splits[split] = Examples(
                names=tuple(names),
                labels=np.zeros(len(names), np.int64),
                files=tuple(path.parent / name for name in names),
                columns={
                    column: tuple(chosen[name][1][position] for name in names)
                    for position, column in enumerate(wanted, start=1)
                },
            )
    if splits and not {"all", "train"} & set(splits):
        raise DataError(
            f"No line of {data!r} belongs to the train split",
            expected="train in the column split",
            received=", ".join(splits),
        )
    column_names = tuple(name for name in header if name not in ("path", "split"))
    found = Listing(ONE, splits, outside=tuple(repeated), column_names=column_names)
    return found if columns is not None else _with_labels(found)


def _with_labels(listing: Listing) -> Listing:
    """Returns the listing with the classes that its column `label` names, in order."""
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
    """Returns the columns, and the rows with their line numbers, stripped of spaces."""
    try:
        # utf-8-sig drops the mark that spreadsheets put in front.
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
        raise DataError(f"The table {data!r} is no CSV: {error}") from None
    except ValueError:
        raise DataError(
            f"There is no table {data!r}",
            expected="the path of a .csv file",
            received="a name with a NUL, which no file has",
            mend="check the path",
        ) from None


def _heading(text: str) -> str:
    name = text.strip()
    return name.lower() if name.lower() in ("path", LABEL, "split") else name
