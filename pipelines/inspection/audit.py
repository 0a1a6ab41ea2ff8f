"""Audit a data set: find damaged, misplaced, duplicate and unusual images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipelines.inspection.audit_tables import check_tables
from pipelines.inspection.feature_findings import FeatureFindings
from pipelines.inspection.next_images import NextImage, check_both, write_next_images
from pipelines.inspection.suspects_table import write_suspects
from pipelines.recipe.settings import RecipeSettings
from pipelines.runtime.isolation import isolated
from pipelines.runtime.stderr import suppress_stderr
from pipelines.sources.checking.remarks import (
    IMBALANCED,
    find_divided_groups,
    find_label_remarks,
)
from pipelines.sources.config import DataConfig
from pipelines.sources.examining.formats import IMAGE_EXTENSIONS
from pipelines.sources.examining.scan_table import ScanTable
from pipelines.sources.listing.catalog import kind_of
from pipelines.sources.opening.scanned_dataset import ScannedDataset, scan_dataset
from pipelines.sources.source import Finding, Listing, join_examples
from pipelines.sources.splitting.copies import group_copies
from pipelines.sources.splitting.groups import list_groups
from pipelines.sources.splitting.split import split_listing
from zoo.errors import DataError
from zoo.tasks import CLASSIFICATION, Task

if TYPE_CHECKING:
    from pipelines.inspection.feature_audit import FeatureAudit

TINY = 32
"""Shorter sides below this many pixels count as tiny."""

Copies = tuple[str, ...]
"""Names of images that are equal byte for byte."""


@dataclass(frozen=True)
class Audit:
    """The findings of an audit of one data set.

    Args:
        data: DATA as the user wrote it.
        images: Number of images that decode.
        counts: Number of images that decode, by class, then by split; the split is
            `all` if the data set has no splits.
        blocking: Messages of the errors that would stop `zoo train`.
        undecodable: Files that do not decode, with the reason.
        damaged: Damaged files that are used all the same, with the damage.
        ignored: Images and folders outside the class folders, and repeated rows.
        wrong_extensions: Images whose file name extension belongs to another format.
        outliers: Images that decode and look unlike the rest.
        repeated: Copies of an image within one class and split.
        conflicting: Copies of an image in several classes.
        leaking: Copies of an image in several splits, which make metrics too optimistic.
        imbalance: Ratio of the largest to the smallest class in training, at least 1.
        widths: Minimum, median and maximum in pixels.
        heights: Minimum, median and maximum in pixels.
        tiny: Images whose shorter side is below TINY, in a data set of larger images.
        remarks: What the owner should know of the folders, of the classes' names, and of groups
            that splits divide.
        features: What the features of a backbone say; None if none was asked.
        next_labels: Images without a label, the first to be labeled first.
    """

    data: str
    images: int
    counts: dict[str, dict[str, int]]
    blocking: tuple[str, ...]
    undecodable: tuple[Finding, ...]
    damaged: tuple[Finding, ...]
    ignored: tuple[Finding, ...]
    wrong_extensions: tuple[Finding, ...]
    outliers: tuple[Finding, ...]
    repeated: tuple[Copies, ...]
    conflicting: tuple[Copies, ...]
    leaking: tuple[Copies, ...]
    imbalance: float
    widths: tuple[int, int, int]
    heights: tuple[int, int, int]
    tiny: tuple[Finding, ...]
    remarks: tuple[str, ...] = ()
    features: FeatureFindings | None = None
    next_labels: tuple[NextImage, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether there is no finding."""
        found = (
            self.blocking, self.undecodable, self.damaged, self.ignored, self.wrong_extensions,
            self.outliers, self.repeated, self.conflicting, self.leaking, self.tiny, self.remarks,
        )  # fmt: skip
        seen_clean = self.features is None or self.features.clean
        return not any(found) and self.imbalance < IMBALANCED and seen_clean

    def to_json(self) -> dict[str, Any]:
        """Returns all findings as JSON values.

        Those of a backbone stand beside the others: its `outliers` have a distance each, and
        hold the others.
        """
        found = asdict(replace(self, features=None))
        del found["features"]
        by_features = self.features.to_json() if self.features else {}
        return {**found, **by_features, "clean": self.clean}

    def lines(self, *, max_lines: int = 20) -> list[str]:
        """Returns a report of one finding per line.

        Args:
            max_lines: Maximum number of findings of each sort; the rest is counted.
        """
        present = {split for count in self.counts.values() for split in count}
        splits = [split for split in ("all", "train", "val", "test") if split in present]
        totals = [sum(count.get(s, 0) for count in self.counts.values()) for s in splits]
        shares = ", ".join(f"{total} {split}" for total, split in zip(totals, splits, strict=True))
        lines = [f"{self.data}: {self.images} images, {len(self.counts)} classes ({shares})"]
        for name, count in self.counts.items():
            lines.append(f"  {name}: " + ", ".join(f"{count.get(s, 0)} {s}" for s in splits))
        lines += [
            f"  width {self.widths[0]} to {self.widths[2]}, median {self.widths[1]}; "
            f"height {self.heights[0]} to {self.heights[2]}, median {self.heights[1]}",
            f"  {self.imbalance:.3g} images of the largest class for one of the smallest",
        ]
        lines += [f"stops training: {message}" for message in self.blocking]
        lines += self.features.lines(max_lines) if self.features else []
        if self.imbalance >= IMBALANCED:
            lines.append("imbalanced: read macro F1 beside accuracy")
        sorts: list[tuple[str, list[str]]] = [
            ("undecodable", _format(self.undecodable)),
            ("damaged", _format(self.damaged)),
            ("ignored", _format(self.ignored)),
            ("wrong extension", _format(self.wrong_extensions)),
            ("outlier", [] if self.features else _format(self.outliers)),
            ("in several classes", [" = ".join(names) for names in self.conflicting]),
            ("in several splits", [" = ".join(names) for names in self.leaking]),
            ("repeated", [" = ".join(names) for names in self.repeated]),
            ("tiny", _format(self.tiny)),
        ]
        for sort, texts in sorts:
            lines += [f"{sort} {t}" if ":" in t else f"{sort}: {t}" for t in texts[:max_lines]]
            if len(texts) > max_lines:
                lines.append(f"{sort}: {len(texts) - max_lines} more")
        lines += self.remarks
        lines += ["no problems found"] if self.clean else []
        return ["".join(map(_escape, line)) for line in lines]


def audit(
    data: str | Path,
    config: DataConfig | None = None,
    tasks: Sequence[Task] = (CLASSIFICATION,),
    *,
    backbone: str | None = None,
    recipe: RecipeSettings | None = None,
    suspects: str | Path | None = None,
    unlabeled: str | Path | None = None,
    next_labels: str | Path | None = None,
    count: int = 100,
) -> Audit:
    """Finds problems in a data set; changes nothing.

    The errors that would stop a training run are collected, so that all are seen at
    once. Without a backbone only copies that are equal byte for byte are found; an image
    that was encoded again is none. The features of a backbone, which `choose` and `train`
    share, show near-duplicates, leaks between splits, labels that are probably wrong, and
    images far from all others.

    Args:
        data: DATA as in `open_source`.
        config: Images to exclude, and the share that may fail to decode.
        tasks: The tasks to learn; the classes of the audit are the strata of the split.
        backbone: The backbone to look with, as `train` takes it, with weights; None looks at
            files alone. Folders without classes can be audited with one.
        recipe: How its features are computed; None takes the preset that suits the data.
        suspects: A new .csv file for the labels that the backbone doubts, to be edited and fed
            back as `data.relabel`; None writes none.
        unlabeled: DATA of images without labels, to choose from which to label next.
        next_labels: A new .csv file for these, its column `label` to be filled in.
        count: How many of them, at most, at least 1.

    Raises:
        DataError: The data set has no images or cannot be listed, or there is nothing to choose
            from.
        InputError: A table exists or cannot be written, there is no backbone, or one of
            `unlabeled` and `next_labels` is given without the other.
        UnknownNameError: No such backbone.
        RecipeError: The backbone has random weights, or the recipe does not suit it.
        WeightsError: The weights of the backbone are absent.
    """
    data, config = str(data), config or DataConfig()
    check_tables({"--suspects": suspects, "--next-labels": next_labels}, backbone)
    check_both(unlabeled, next_labels)
    if backbone is None:
        return _audit(data, config, tasks, None)
    from pipelines.inspection.feature_audit import FeatureAudit

    with isolated():
        by_features = FeatureAudit(data, backbone, recipe)
        found = _audit(data, config, tasks, by_features)
        if unlabeled is not None and next_labels is not None:
            chosen = by_features.choose_next(str(unlabeled), count)
            write_next_images(Path(next_labels), chosen)
            found = replace(found, next_labels=chosen)
    if suspects is not None and found.features:
        write_suspects(Path(suspects), found.features.label_errors)
    return found


def _audit(
    data: str, config: DataConfig, tasks: Sequence[Task], by_features: FeatureAudit | None
) -> Audit:
    with suppress_stderr():
        import tensorflow  # noqa: F401
    kind = kind_of(data)
    listing = kind.list_images(data, tasks, config)
    labeled = bool(listing.splits) or by_features is None
    if not labeled:
        listing = kind.list_images(data, tasks, config, labeled=False)
    scanned = scan_dataset(
        data,
        listing,
        tasks,
        config,
        labeled=labeled,
        collect_errors=True,
        kept=by_features.kept if by_features else None,
    )
    images = scanned.decodable
    scans = scanned.decoded
    repeated, conflicting, leaking = _find_copies(images)
    outliers = scanned.outliers
    return Audit(
        data=data,
        images=len(scans),
        counts=_count_images(images),
        blocking=_find_blocking_errors(scanned, config),
        undecodable=scanned.undecodable,
        damaged=scanned.damaged,
        ignored=images.ignored,
        wrong_extensions=tuple(_find_wrong_extensions(scans)),
        outliers=outliers,
        repeated=repeated,
        conflicting=conflicting,
        leaking=leaking,
        imbalance=_compute_imbalance(images),
        widths=_compute_range(scans.numbers("width")),
        heights=_compute_range(scans.numbers("height")),
        tiny=tuple(_find_tiny(scans)),
        remarks=(*images.hints, *find_label_remarks(images), *find_divided_groups(images)),
        features=by_features.run(images, outliers, labeled=labeled) if by_features else None,
    )


def _find_blocking_errors(scanned: ScannedDataset, config: DataConfig) -> tuple[str, ...]:
    """Returns the messages of the errors that `open_source` would raise one by one."""
    errors = list(scanned.errors)
    if scanned.has_valid_labels:
        try:
            # Whether each class has enough images does not depend on the seed.
            split_listing(scanned.decodable, config, seed=0)
        except DataError as error:
            errors.append(error)
    return tuple(str(error) for error in errors)


def _count_images(listing: Listing) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {name: {} for name in listing.class_names}
    for split, examples in listing.splits.items():
        found = Counter(examples.labels.tolist())
        for label, name in enumerate(listing.class_names):
            counts[name][split] = found[label]
    return counts


def _compute_imbalance(listing: Listing) -> float:
    fitted = listing.splits.get("train", listing.splits.get("all"))
    if fitted is None:
        return 1.0
    counts = Counter(fitted.labels.tolist()).values()
    return round(max(counts) / min(counts), 3)


def _find_wrong_extensions(scans: ScanTable) -> Iterator[Finding]:
    formats = [scans.texts[code] for code in scans.rows["format"].tolist()]
    for name, found in zip(scans.names, formats, strict=True):
        promised = IMAGE_EXTENSIONS.get(os.path.splitext(name)[1].lower())
        if promised and found not in promised:
            yield Finding(name, f"a {found} by its content")


def _find_tiny(scans: ScanTable) -> Iterator[Finding]:
    sides = np.minimum(scans.numbers("width"), scans.numbers("height"))
    # Where all images are small (digits, CIFAR), small ones are not worth mentioning.
    if len(scans) and np.median(sides) >= 2 * TINY:
        for scan in scans.take(np.flatnonzero(sides < TINY)):
            yield Finding(scan.name, f"{scan.width}x{scan.height} pixels")


def _find_copies(
    listing: Listing,
) -> tuple[tuple[Copies, ...], tuple[Copies, ...], tuple[Copies, ...]]:
    """Groups equal files: within a class and split, across classes, across splits."""
    repeated: list[Copies] = []
    conflicting: list[Copies] = []
    leaking: list[Copies] = []
    if not listing.splits:
        return (), (), ()
    whole = join_examples([replace(e, columns={}, targets={}) for e in listing.splits.values()])
    split_codes = np.repeat(np.arange(len(listing.splits)), list(map(len, listing.splits.values())))
    copies = group_copies(whole)
    for members in [] if copies is None else list_groups(copies):
        names = tuple(whole.names[index] for index in members.tolist())
        num_labels = len(np.unique(whole.labels[members]))
        num_splits = len(np.unique(split_codes[members]))
        if num_labels > 1:
            conflicting.append(names)
        if num_splits > 1:
            leaking.append(names)
        if num_labels == num_splits == 1:
            repeated.append(names)
    return tuple(repeated), tuple(conflicting), tuple(leaking)


def _compute_range(values: npt.NDArray[np.int32]) -> tuple[int, int, int]:
    if not len(values):
        return 0, 0, 0
    return int(values.min()), round(float(np.median(values))), int(values.max())


def _format(findings: Iterable[Finding]) -> list[str]:
    return [f"{finding.name}: {finding.reason}" for finding in findings]


def _escape(character: str) -> str:
    """Escapes a character that would, like a line break, make two lines of one."""
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()
