"""The table of labels that an audit doubts, to be edited and fed back as `data.relabel`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipelines.inspection.audit_tables import write_table
from pipelines.inspection.feature_findings import LabelError

COLUMNS = ("path", "label", "suggested", "score", "likely")


def write_suspects(file: Path, errors: Sequence[LabelError]) -> None:
    """Writes a line for each label that is doubted, the worst first.

    The column `label` holds the label as it is: fed back as it was written, the table changes
    nothing.

    Args:
        file: The .csv file.
        errors: What an audit found.
    """
    write_table(
        file,
        COLUMNS,
        [(e.image, e.label, e.suggested, e.score, "yes" if e.likely else "") for e in errors],
    )
