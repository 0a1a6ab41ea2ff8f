"""Tables that an audit writes for its reader to edit."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pipelines.runtime.output_paths import check_destination
from zoo.errors import InputError
from zoo.files import write_text


def check_tables(files: Mapping[str, str | Path | None], backbone: str | None) -> None:
    """Checks that tables can be written, before an audit looks for what they hold.

    Args:
        files: By option, the table; None writes none.
        backbone: The backbone of the audit; None looks at files alone.

    Raises:
        InputError: There is no backbone, which alone judges images, or a file cannot be written,
            or exists: somebody may have edited it.
    """
    for option, name in files.items():
        if name is None:
            continue
        file = Path(name)
        if backbone is None:
            raise InputError(
                "only a backbone judges images",
                expected=f"--backbone beside {option}",
                mend="--backbone efficientnet_lite0.imagenet",
            )
        check_destination(file, option)
        if file.exists():
            raise InputError(
                f"{file} exists, and may have been edited",
                expected="a new file",
                mend=f"choose another {option}, or remove it",
            )


def write_table(file: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a table.

    Args:
        file: The .csv file.
        columns: The names of its columns.
        rows: A value for each column.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(file, text.getvalue())
