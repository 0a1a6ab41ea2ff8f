"""Log lines about the images of a data set that were left out or look odd."""

from __future__ import annotations

import json
import shlex

from pipelines.sources.evaluation_set import EvaluationSet
from pipelines.sources.source import Source


def describe(source: Source | EvaluationSet, *, most: int = 20) -> list[str]:
    """Says what was left out and what looks odd, a line each.

    Args:
        source: As `open_source` or `open_evaluation_set` returned it.
        most: How many lines to write about each before only counting the rest.
    """
    lines = [f"skipped {remark.name}: {remark.reason}" for remark in source.skipped[:most]]
    if len(source.skipped) > most:
        lines.append(f"skipped {len(source.skipped) - most} more; `zoo audit` lists all")
    for remark in source.suspects[:most]:
        advice = "kept"
        if isinstance(source, Source):
            setting = f"data.exclude={json.dumps([remark.name], ensure_ascii=False)}"
            advice += f"; leave it out with --set {shlex.quote(setting)}"
        lines.append(f"suspect {remark.name}: {remark.reason} ({advice})")
    if len(source.suspects) > most:
        lines.append(f"suspect {len(source.suspects) - most} more; `zoo audit` lists all")
    return lines
