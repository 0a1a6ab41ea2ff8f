"""Tables of text: their separator, their heading and the cells of the columns that are used."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipelines.sources.examining.formats import IMAGE_EXTENSIONS
from pipelines.sources.spelling import to_nfc
from zoo.errors import DataError
from zoo.tasks import LABEL

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
"""What may separate cells, with its name for messages."""

STANDARD = ("path", LABEL, "split", "group")
"""Columns with a meaning of their own; the case of their headings does not matter."""

_SYNONYMS = {
    "path": (
        "filename", "file", "file_name", "filepath", "file_path", "image", "images", "img",
        "image_path", "image_name", "image_id", "image_file", "imagename", "name", "id",
    ),
    LABEL: (
        "labels", "class", "classes", "class_name", "category", "target", "species", "breed",
        "y", "tag", "diagnosis", "type",
    ),
}  # fmt: skip
"""Headings that other tables use, for the setting that a message proposes."""


@dataclass(frozen=True)
class TableFile:
    """The used columns of a table.

    Args:
        header: All headings, composed and without blanks at their ends.
        lines: Number of the line in which each row begins, from 1.
        cells: The cells of each used column, without blanks at their ends.
    """

    header: tuple[str, ...]
    lines: tuple[int, ...]
    cells: Mapping[str, tuple[str, ...]]


def read_table(
    data: str, headings: Mapping[str, str], required: Sequence[str], optional: Sequence[str] = ()
) -> TableFile:
    """Reads a table with commas, semicolons or tabs between its cells.

    The separator is the one with which the first line has the required columns. Blanks
    after a separator are skipped, and rows without any text.

    Args:
        data: Path of the file; UTF-8, with or without a byte-order mark.
        headings: The headings of columns that are called otherwise in the table.
        required: Columns that the table must have.
        optional: Columns to read if the table has them.

    Raises:
        DataError: The file does not exist or is no such table, or a row has more or fewer
            cells than the heading.
    """
    try:
        # utf-8-sig drops the byte-order mark that spreadsheets write.
        with Path(data).open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            if not first.strip():
                raise DataError(
                    f"The table {data!r} is empty" if not first else f"Line 1 of {data!r} is empty",
                    expected=f"the names of the columns, as {','.join(required)}",
                    mend="name the columns in the first line",
                )
            separator = _find_separator(data, first, headings, required)
            file.seek(0)
            rows = _Rows(data, _read_cells(file, separator))
            header = tuple(_clean(cell) for cell in next(rows)[1])
            return _read_columns(data, header, rows, headings, (*required, *optional))
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
    except ValueError:
        raise DataError(
            f"There is no table {data!r}",
            expected="the path of a .csv or .tsv file",
            received="a name with a NUL character",
            mend="check the path",
        ) from None


def _read_cells(lines: Iterable[str], separator: str) -> Any:
    return csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)


def _clean(cell: str) -> str:
    return to_nfc(cell.strip())


class _Rows(Iterator[tuple[int, list[str]]]):
    """Rows of a table that have text, each with the line in which it begins."""

    def __init__(self, data: str, reader: Any) -> None:
        self._data = data
        self._reader = reader

    def __next__(self) -> tuple[int, list[str]]:
        while True:
            line = self._reader.line_num + 1
            try:
                cells = next(self._reader)
            except csv.Error as error:
                raise DataError(
                    f"Line {line} of {self._data!r} opens a quote that does not close as it should",
                    expected='a closing " before a separator or the end of the line',
                    received=str(error),
                    mend='write a " within a cell as ""',
                ) from None
            if any(cell.strip() for cell in cells):
                if any("\0" in cell for cell in cells):
                    raise DataError(
                        f"Line {line} of {self._data!r} has a NUL character",
                        expected="text",
                        mend="save the table as 'CSV UTF-8'",
                    )
                return line, cells


def _find_separator(
    data: str, first: str, headings: Mapping[str, str], required: Sequence[str]
) -> str:
    """Returns the separator with which the first line has the required columns."""
    found: dict[str, tuple[str, ...]] = {}
    for separator in SEPARATORS:
        try:
            cells = next(_read_cells([first], separator))
        except csv.Error:
            continue
        found[separator] = tuple(_clean(cell) for cell in cells)
    fitting = [
        separator
        for separator, header in found.items()
        if all(_positions(header, column, headings) for column in required)
    ]
    # One column is the same with every separator.
    if fitting and len({found[separator] for separator in fitting}) == 1:
        return fitting[0]
    if fitting:
        raise DataError(
            f"The cells of {data!r} are separated by "
            + " or by ".join(SEPARATORS[separator] for separator in fitting),
            expected="one of them in the first line",
            received=first.strip()[:80],
            mend="save it with commas between the cells",
        )
    likely = max(found, key=lambda separator: len(found[separator]), default=",")
    header = found.get(likely, ())
    missing = [column for column in required if not _positions(header, column, headings)]
    raise DataError(
        f"The table {data!r} has no column "
        + " and none ".join(repr(headings.get(column, column)) for column in missing),
        expected=f"{', '.join(headings.get(column, column) for column in required)} in the first "
        "line, with commas, semicolons or tabs between them",
        received=", ".join(header)[:120],
        mend=_propose(header, missing, headings),
    )


def _propose(header: Sequence[str], missing: Sequence[str], headings: Mapping[str, str]) -> str:
    """Returns which setting names the missing columns, by what other tables call them."""
    if any(PurePosixPath(cell).suffix.lower() in IMAGE_EXTENSIONS for cell in header):
        return "put a line with the names of the columns before the first"
    taken = {c for column in STANDARD for c in _positions(header, column, headings)}
    guesses: dict[str, str] = {}
    for column in missing:
        for name in _SYNONYMS.get(column, ()):
            free = [h for i, h in enumerate(header) if i not in taken and _plain(h) == name]
            if len(free) == 1 and free[0] not in guesses.values():
                guesses[column] = free[0]
                break
    rest = [h for i, h in enumerate(header) if h and i not in taken and h not in guesses.values()]
    if "split" in missing:
        return "name it, or read none with --set 'data.columns.split=\"\"'"
    left = [column for column in missing if column not in guesses]
    if len(left) == len(rest) == 1 and left[0] in STANDARD:
        guesses[left[0]] = rest[0]
    if set(missing) <= set(guesses):
        named = ", ".join(f"{column} = {_quote(guesses[column])}" for column in missing)
        return f"if these are the columns, --set 'data.columns={{{named}}}'"
    return f"name them: --set data.columns.{missing[0]}=NAME"


def _plain(heading: str) -> str:
    return heading.casefold().replace(" ", "_").replace("-", "_")


def _quote(text: str) -> str:
    """Returns a heading as a TOML string within a shell's single quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("'", "\\u0027")
    return f'"{escaped}"'


def _positions(header: Sequence[str], column: str, headings: Mapping[str, str]) -> list[int]:
    """Returns where a column is; the case of those with a meaning of their own is ignored."""
    heading = to_nfc(headings.get(column, column))
    if column not in STANDARD:
        return [i for i, name in enumerate(header) if name == heading]
    return [i for i, name in enumerate(header) if name.casefold() == heading.casefold()]


def _read_columns(
    data: str,
    header: tuple[str, ...],
    rows: _Rows,
    headings: Mapping[str, str],
    used: Sequence[str],
) -> TableFile:
    """Reads the used columns that the table has."""
    positions: dict[str, int] = {}
    for column in used:
        found = _positions(header, column, headings)
        similar = Counter(name.casefold() for name in header)
        if found and similar[header[found[0]].casefold()] > 1:
            same = [n for n in header if n.casefold() == header[found[0]].casefold()]
            raise DataError(
                f"Line 1 of {data!r} names the column {header[found[0]]!r} twice",
                expected="each name once, whatever its case",
                received=", ".join(same),
                mend="rename or remove one of them",
            )
        if found:
            positions[column] = found[0]
    lines: list[int] = []
    cells: dict[str, list[str]] = {column: [] for column in positions}
    texts: dict[str, str] = {}
    for line, row in rows:
        if len(row) != len(header) and (len(row) < len(header) or any(row[len(header) :])):
            raise _wrong_count(data, line, row, header)
        lines.append(line)
        for column, position in positions.items():
            # Labels repeat: one text serves all rows.
            text = _clean(row[position])
            cells[column].append(text if column == "path" else texts.setdefault(text, text))
    return TableFile(header, tuple(lines), {name: tuple(found) for name, found in cells.items()})


def _wrong_count(data: str, line: int, row: Sequence[str], header: Sequence[str]) -> DataError:
    more = len(row) > len(header)
    return DataError(
        f"Line {line} of {data!r} has {len(row)} cells, {'more' if more else 'fewer'} than the "
        "first line",
        expected=f"{len(header)}: {', '.join(header)}"[:120],
        received=" | ".join(row)[:120],
        mend='put a cell with a separator in it in quotes, as "red, round"'
        if more
        else "add the missing cells; an empty one needs its separator too",
    )
