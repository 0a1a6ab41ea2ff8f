"""The table of labels that an audit doubts, to be edited and fed back as `data.relabel`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.inspection.feature_findings import LabelError
from pipelines.runtime.output_paths import check_destination
from zoo.errors import InputError
from zoo.files import write_text

COLUMNS = ("path", "label", "suggested", "score", "likely")


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


def write_suspects(file: Path, errors: Sequence[LabelError]) -> None:
    """Writes a line for each label that is doubted, the worst first.

    The column `label` holds the label as it is: fed back as it was written, the table changes
    nothing.

    Args:
        file: The .csv file.
        errors: What an audit found.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for error in errors:
        likely = "yes" if error.likely else ""
        writer.writerow((error.image, error.label, error.suggested, error.score, likely))
    write_text(file, text.getvalue())
