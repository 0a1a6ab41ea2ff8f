"""What a backbone's features say about a data set, as JSON and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.inspection.learning_curve import LearningCurve
from pipelines.sources.exclusion import quote_exclude

_MAX_EXCLUDED = 20
"""Images that a proposed setting names, at most."""


@dataclass(frozen=True)
class LabelError:
    """An image that a head on features, fitted without it, gives another class.

    Args:
        image: Its name.
        split: Its split, or `all`.
        label: Its class.
        suggested: The class that the head gives it.
        score: 0 to 1; the lower, the likelier is the label wrong. See
            `tuning.confident_learning.score_labels`.
        likely: Whether it is among as many as there are label errors by confident learning.
    """

    image: str
    split: str
    label: str
    suggested: str
    score: float
    likely: bool


@dataclass(frozen=True)
class Duplicates:
    """Images that are near-duplicates of each other.

    Args:
        images: Their names, two or more.
        labels: Their classes, each once.
        identical: Whether they are equal byte for byte.
    """

    images: tuple[str, ...]
    labels: tuple[str, ...]
    identical: bool


@dataclass(frozen=True)
class Leak:
    """An image of val or test with a near-duplicate in a split before it.

    Args:
        image: Its name.
        split: Its split.
        twin: The near-duplicate that is most like it.
        twin_split: The twin's split.
        similarity: Cosine of their standardized features, up to 1.
    """

    image: str
    split: str
    twin: str
    twin_split: str
    similarity: float


@dataclass(frozen=True)
class FeatureOutlier:
    """An image unlike the rest.

    Args:
        image: Its name.
        split: Its split, or `all`.
        distance: From its features to those of its tenth neighbor.
        reason: What is odd about it.
    """

    image: str
    split: str
    distance: float
    reason: str


@dataclass(frozen=True)
class FeatureFindings:
    """What the features of a backbone say about a data set.

    Args:
        backbone: Its name.
        label_errors: Worst first.
        duplicates: In the order of the data set; copies included.
        leaks: The most alike first.
        outliers: The farthest first; with them what is odd by its file.
        groups: Images that belong together by their owner's word, two or more, by name.
        notes: What could not be examined, a line each.
        learning_curve: What more labels would buy; None where that cannot be measured.
    """

    backbone: str
    label_errors: tuple[LabelError, ...] = ()
    duplicates: tuple[Duplicates, ...] = ()
    leaks: tuple[Leak, ...] = ()
    outliers: tuple[FeatureOutlier, ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    learning_curve: LearningCurve | None = None

    @property
    def likely_errors(self) -> tuple[LabelError, ...]:
        """The label errors that are more than a doubt."""
        return tuple(error for error in self.label_errors if error.likely)

    @property
    def clean(self) -> bool:
        """Whether there is no finding; a doubt is none."""
        return not any((self.likely_errors, self.duplicates, self.leaks, self.outliers))

    def to_json(self) -> dict[str, Any]:
        """Returns all findings as JSON values."""
        return {**asdict(self), "duplicates": [list(group.images) for group in self.duplicates]}

    def lines(self, max_lines: int) -> list[str]:
        """Returns a report, the most important first.

        Args:
            max_lines: Findings of each sort, at most; the rest is counted.
        """
        errors = self.likely_errors
        near = [
            " = ".join(group.images)
            + (f", of {' and '.join(group.labels)}" if len(group.labels) > 1 else "")
            for group in self.duplicates
            if not group.identical
        ]
        lines = _list_findings(
            "leak",
            [
                f"{leak.image}: looks like {leak.twin}, cosine {leak.similarity:.2f}"
                for leak in self.leaks
            ],
            max_lines,
        )
        if self.leaks:
            images = "image has" if len(self.leaks) == 1 else "images have"
            names = [leak.image for leak in self.leaks]
            lines.append(
                f"{len(self.leaks)} {images} a near-duplicate in an earlier split, which makes "
                f"metrics too optimistic; {_propose_exclusion(names)}"
            )
        lines += _list_findings(
            "label error",
            [
                f"{e.image}: {e.label}, looks like {e.suggested} (score {e.score:.2g})"
                for e in errors
            ],
            max_lines,
        )
        if errors:
            names = [error.image for error in errors]
            lines.append(
                f"{len(errors)} label{'s' * (len(errors) != 1)} may be wrong, the likeliest first; "
                "look at them, and correct them (--suspects FILE.csv writes a table for "
                f"data.relabel) or {_propose_exclusion(names)}"
            )
        lines += _list_findings("near-duplicates", near, max_lines)
        lines += _list_findings(
            "outlier",
            [f"{outlier.image}: {outlier.reason}" for outlier in self.outliers],
            max_lines,
        )
        if self.learning_curve is not None:
            lines.append(self.learning_curve.describe())
        return [*lines, *self.notes]


def _list_findings(sort: str, texts: Sequence[str], max_lines: int) -> list[str]:
    lines = [f"{sort} {t}" if ":" in t else f"{sort}: {t}" for t in texts[:max_lines]]
    if len(texts) > max_lines:
        lines.append(f"{sort}: {len(texts) - max_lines} more, which --json lists")
    return lines


def _propose_exclusion(names: Sequence[str]) -> str:
    if len(names) > _MAX_EXCLUDED:
        return "leave them out by data.exclude"
    return f"leave them out by --set {quote_exclude(*names)}"
