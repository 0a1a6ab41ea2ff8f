"""The table of labels that an audit doubts, to be edited and fed back as `data.relabel`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from pipelines.inspection.feature_findings import LabelError
from pipelines.runtime.output_paths import check_destination
from zoo.errors import InputError
from zoo.files import write_text

COLUMNS = ("path", "label", "suggested", "score", "likely")


def check_suspects_file(file: Path, backbone: str | None) -> None:
    """Checks that a table can be written, before an audit looks for what it holds.

    Args:
        file: The table.
        backbone: The backbone of the audit; None looks at files alone.

    Raises:
        InputError: No backbone looks for label errors, or the file cannot be written, or exists:
            somebody may have edited it.
    """
    if backbone is None:
        raise InputError(
            "only a backbone doubts labels",
            expected="--backbone beside --suspects",
            mend="--backbone efficientnet_lite0.imagenet",
        )
    check_destination(file, "--suspects")
    if file.exists():
        raise InputError(
            f"{file} exists, and may have been edited",
            expected="a new file",
            mend="choose another --suspects, or remove it",
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
