"""List, validate and scan the images of a data set, for training, evaluation and audits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.sources.checking.outliers import find_outliers
from pipelines.sources.checking.remarks import find_remarks
from pipelines.sources.checking.task_columns import bind_tasks, check_tasks
from pipelines.sources.checking.validation import (
    check_classes,
    check_decodable,
    check_groups,
    check_not_empty,
    check_splits_decode,
)
from pipelines.sources.config import NEAR_DUPLICATES, DataConfig
from pipelines.sources.examining.kept_images import KeptImages
from pipelines.sources.examining.scan_table import ScanTable
from pipelines.sources.exclusion import exclude_images
from pipelines.sources.listing.relabeling import relabel_images
from pipelines.sources.opening.near_duplicate_groups import group_by_near_duplicates
from pipelines.sources.scanning.scan import keep_decodable, scan_images
from pipelines.sources.source import Finding, Listing
from zoo.errors import DataError
from zoo.tasks import Task


@dataclass(frozen=True)
class ScannedDataset:
    """A data set whose images were each decoded once, not yet split.

    Args:
        decodable: The images that decode, with digests, shapes and targets.
        scans: Results for all images, decodable or not, in the order of the listing.
        errors: Validation errors, if they were collected.
        has_valid_labels: Whether no validation error is about labels.
    """

    decodable: Listing
    scans: ScanTable
    errors: tuple[DataError, ...] = ()
    has_valid_labels: bool = True

    @property
    def decoded(self) -> ScanTable:
        """Results for the images that decode."""
        problems = self.scans.has("problem")
        return self.scans.take(np.flatnonzero(~problems)) if problems.any() else self.scans

    @property
    def undecodable(self) -> tuple[Finding, ...]:
        """The images that do not decode, each with the reason."""
        failed = self.scans.take(np.flatnonzero(self.scans.has("problem")))
        return tuple(Finding(scan.name, scan.problem) for scan in failed)

    @property
    def damaged(self) -> tuple[Finding, ...]:
        """The images that are used although their files are damaged, each with the damage."""
        kept = ~self.scans.has("problem") & self.scans.has("damage")
        return tuple(Finding(s.name, s.damage) for s in self.scans.take(np.flatnonzero(kept)))

    @property
    def skipped(self) -> tuple[Finding, ...]:
        """All that was left out: images that do not decode, then what the reader ignored."""
        return (*self.undecodable, *self.decodable.ignored)

    @property
    def outliers(self) -> tuple[Finding, ...]:
        """Images that decode and look unlike the rest."""
        return find_outliers(self.decoded)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the owner should know of the labels, splits and copies, a line each."""
        return (*self.decodable.hints, *find_remarks(self.decodable))


def scan_dataset(
    data: str,
    listing: Listing,
    tasks: Sequence[Task],
    config: DataConfig,
    *,
    labeled: bool = True,
    trainable: bool = True,
    collect_errors: bool = False,
    kept: KeptImages | None = None,
) -> ScannedDataset:
    """Excludes images, binds tasks, decodes each image once and validates the data set.

    Args:
        data: DATA as the user wrote it.
        listing: The images that a reader found.
        tasks: The tasks to learn or to evaluate.
        config: Images to exclude, and the share that may fail to decode.
        labeled: Whether images need a class.
        trainable: Whether each class needs training images, and at most
            `config.max_undecodable` of the files may fail. Otherwise any class may be
            absent, and any number of files may fail.
        collect_errors: Whether to collect the validation errors of a data set that has
            images instead of raising the first.
        kept: Takes the decoded images of files that were read, as long as there is room.

    Raises:
        DataError: There are no images, a column of a task is missing or holds values
            that do not fit it, or validation fails.
    """
    errors: list[DataError] = []

    def is_valid(check: Callable[..., None], *arguments: object, **options: object) -> bool:
        try:
            check(*arguments, **options)
        except DataError as error:
            if not collect_errors:
                raise
            errors.append(error)
            return False
        return True

    columns = [task.column for task in tasks if task.kind != "regression" and not task.bare]
    listing = exclude_images(listing, config.exclude, columns)
    if labeled and tasks[0].bare:
        listing = relabel_images(data, listing, config.relabel, strict=trainable)
    check_not_empty(data, listing, labeled=labeled)
    listing = bind_tasks(data, listing, tasks)
    if trainable:
        is_valid(check_groups, data, listing, config.group)
    # Before the scan, which can take minutes.
    has_labels = not (labeled and trainable) or is_valid(check_labels, data, listing)
    scans = scan_images(listing, config, kept)
    flat = ScanTable.join(list(scans.values()))
    # Even if any number of files may fail, none that a table names may be missing.
    is_valid(check_decodable, data, flat, config.max_undecodable if trainable else 1.0)
    decodable = keep_decodable(listing, scans, kept)
    if config.group == NEAR_DUPLICATES:
        decodable = group_by_near_duplicates(decodable)
    if trainable:
        is_valid(check_splits_decode, data, scans, decodable)
    if labeled and trainable and has_labels:
        has_labels = is_valid(check_labels, data, decodable, found="image that can be decoded")
    return ScannedDataset(decodable, flat, tuple(errors), has_labels)


def check_labels(data: str, listing: Listing, *, found: str = "image") -> None:
    """Checks that each class or label of each task has training images.

    Args:
        data: DATA as the user wrote it.
        listing: The images, without those that are excluded.
        found: What an empty class has none of, for the message.

    Raises:
        DataError: One has none; see `check_classes` and `check_tasks`.
    """
    check = check_classes if listing.tasks[0].bare else check_tasks
    check(data, listing, found=found)
