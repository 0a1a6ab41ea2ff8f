"""A .csv file that names images and their labels."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from pipelines.sources.folder import SPLIT_NAMES
from pipelines.sources.source import Examples, Listing, Remark
from zoo.errors import DataError

_COLUMNS = ("path", "label", "split")


def read_csv(data: str) -> Listing:
    """Lists the images that a CSV file names: columns `path`, `label`, perhaps `split`.

    Paths are relative to the file's own folder. The classes are in the order of
    their names. A row that repeats another is left out with a remark.

    Args:
        data: The file's path; UTF-8, with or without a byte-order mark.

    Returns:
        The splits that the column `split` names, or `all` where there is none.

    Raises:
        DataError: The file is absent or no such table, a row lacks a value, or two
            rows say different things about one image.
    """
    import numpy as np

    path = Path(data)
    rows = _rows(path, data)
    has_split = bool(rows) and "split" in rows[0][1]
    chosen: dict[str, tuple[int, str, str]] = {}
    repeated: list[Remark] = []
    for line, row in rows:
        label, split = row["label"], "all"
        for column in ("path", "label", *(["split"] if has_split else [])):
            if not row[column]:
                raise DataError(f"Line {line} of {data!r} has no {column}", mend="fill it in")
        if has_split:
            if row["split"].lower() not in SPLIT_NAMES:
                raise DataError(
                    f"Line {line} of {data!r} names an unknown split",
                    expected="train, val or test",
                    received=repr(row["split"]),
                )
            split = SPLIT_NAMES[row["split"].lower()]
        # Spelt in two ways, a path still is one image.
        name = os.path.normpath(row["path"].replace("\\", "/")).replace(os.sep, "/")
        if name not in chosen:
            chosen[name] = (line, label, split)
        elif chosen[name][1:] == (label, split):
            repeated.append(Remark(name, f"listed again on line {line}"))
        else:
            raise DataError(
                f"Lines {chosen[name][0]} and {line} of {data!r} disagree about {name}",
                expected="one label and one split for an image",
                received=" and ".join(
                    "/".join(v for v in said if v != "all")
                    for said in (chosen[name][1:], (label, split))
                ),
            )
    class_names = tuple(sorted({label for _, label, _ in chosen.values()}))
    splits = {}
    for split in ("all", "train", "val", "test"):
        names = sorted(name for name, said in chosen.items() if said[2] == split)
        if names:
            splits[split] = Examples(
                names=tuple(names),
                labels=np.array([class_names.index(chosen[n][1]) for n in names], dtype=np.int64),
                files=tuple(path.parent / name for name in names),
            )
    if splits and not {"all", "train"} & set(splits):
        raise DataError(
            f"No line of {data!r} belongs to the train split",
            expected="train in the column split",
            received=", ".join(splits),
        )
    return Listing(class_names, splits, outside=tuple(repeated))


def _rows(path: Path, data: str) -> list[tuple[int, dict[str, str]]]:
    """Returns the rows with their line numbers, stripped of spaces around the values."""
    try:
        # utf-8-sig drops the mark that spreadsheets put in front.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="", strict=True)
            header = [(name or "").strip().lower() for name in reader.fieldnames or ()]
            if not {"path", "label"} <= set(header):
                raise DataError(
                    f"The table {data!r} lacks a column",
                    expected="path, label and perhaps split, with commas between them",
                    received=", ".join(header) or "an empty file",
                    mend="name the columns in the first line",
                )
            reader.fieldnames = header
            rows = []
            for row in reader:
                kept = {column: (row[column] or "").strip() for column in _COLUMNS if column in row}
                if any(kept.values()):
                    rows.append((reader.line_num, kept))
            return rows
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
