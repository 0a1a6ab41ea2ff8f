"""Describe in log lines which images were left out, damaged or unusual, and other remarks."""

from __future__ import annotations

import numpy as np

from pipelines.sources.exclusion import quote_exclude
from pipelines.sources.opening.evaluation_set import EvaluationSet
from pipelines.sources.source import Source


def describe(source: Source | EvaluationSet, *, max_lines: int = 20) -> list[str]:
    """Returns a line for each image left out, damaged or an outlier, and for each remark.

    Args:
        source: A data set to train on or to evaluate a model on.
        max_lines: Maximum number of lines of images left out, and of outliers; the rest is
            counted.
    """
    lines: list[str] = []
    for sort, findings in (("skipped", source.skipped), ("damaged", source.damaged)):
        kept = " (kept)" if sort == "damaged" else ""
        lines += [f"{sort} {f.name}: {f.reason}{kept}" for f in findings[:max_lines]]
        if len(findings) > max_lines:
            lines.append(f"{sort} {len(findings) - max_lines} more; `zoo audit` lists all")
    for finding in source.outliers[:max_lines]:
        advice = "kept"
        if isinstance(source, Source):
            advice += f"; leave it out with --set {quote_exclude(finding.name)}"
        lines.append(f"outlier {finding.name}: {finding.reason} ({advice})")
    if len(source.outliers) > max_lines:
        lines.append(f"outlier {len(source.outliers) - max_lines} more; `zoo audit` lists all")
    if not isinstance(source, Source):
        return lines
    groups = [part.groups for part in source.splits.values() if part.groups is not None]
    whole = np.concatenate(groups) if groups else np.empty(0, np.int64)
    if (whole >= 0).any():
        alone = int((whole < 0).sum())
        lines.append(
            f"{len(np.unique(whole[whole >= 0]))} groups of images"
            + (f" and {alone} that stand alone" if alone else "")
            + ": neither a split nor a fold made here divides one"
        )
    return [*lines, *source.remarks]
