"""Describe in log lines which images of a data set were left out or look unusual."""

from __future__ import annotations

import json
import shlex

from pipelines.sources.evaluation_set import EvaluationSet
from pipelines.sources.source import Source


def describe(source: Source | EvaluationSet, *, max_lines: int = 20) -> list[str]:
    """Returns a line for each image that was left out and for each outlier.

    Args:
        source: A data set to train on or to evaluate a model on.
        max_lines: Maximum number of lines of each sort; the rest is counted.
    """
    lines = [f"skipped {finding.name}: {finding.reason}" for finding in source.skipped[:max_lines]]
    if len(source.skipped) > max_lines:
        lines.append(f"skipped {len(source.skipped) - max_lines} more; `zoo audit` lists all")
    for finding in source.outliers[:max_lines]:
        advice = "kept"
        if isinstance(source, Source):
            setting = f"data.exclude={json.dumps([finding.name], ensure_ascii=False)}"
            advice += f"; leave it out with --set {shlex.quote(setting)}"
        lines.append(f"outlier {finding.name}: {finding.reason} ({advice})")
    if len(source.outliers) > max_lines:
        lines.append(f"outlier {len(source.outliers) - max_lines} more; `zoo audit` lists all")
    return lines
