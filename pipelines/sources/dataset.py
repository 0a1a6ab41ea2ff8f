"""Read, check and split a data set for training."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.sources.catalogue import kind_of
from pipelines.sources.config import DataConfig
from pipelines.sources.outliers import find_suspects
from pipelines.sources.scan import decodable, scan
from pipelines.sources.source import Listing, Remark, Source
from pipelines.sources.split import divide
from pipelines.sources.task_columns import bind_tasks, check_tasks, fit_tasks
from pipelines.sources.validation import check_classes, check_decodable, check_images, exclude
from zoo.tasks import CLASSIFICATION, Task


def open_source(
    data: str,
    config: DataConfig | None = None,
    *,
    seed: int = 0,
    tasks: Sequence[Task] = (CLASSIFICATION,),
    labeled: bool = True,
) -> Source:
    """Reads a data set, decodes every image once, checks it and divides it.

    Args:
        data: A folder, a .csv file, `tfds:NAME[:CONFIG]`, `textures` or `digits`.
        config: What to leave out and how to divide; None takes the defaults.
        seed: Seeds the division, where the source has none of its own.
        tasks: What a model is to learn.
        labeled: Whether the labels are to be learned: without, one class will do, any
            may be missing from training, and a folder need not be sorted.

    Raises:
        DataError: It cannot be trained on; the subclasses say why.
        UnknownNameError: TFDS knows no such data set.
    """
    config = config or DataConfig()
    kind = kind_of(data)
    found = kind.listing(data, tasks)
    if not labeled and not found.splits and kind.read_unlabeled:
        found = kind.read_unlabeled(data)
    listing = exclude(found, config.exclude)
    check_images(data, listing, labeled=labeled)
    listing = bind_tasks(data, listing, tasks)
    if labeled:
        check_labels(data, listing)
    facts = scan(listing)
    everything = [fact for found in facts.values() for fact in found]
    check_decodable(data, everything, config.max_undecodable)
    listing, kept = decodable(listing, facts)
    if labeled:
        check_labels(data, listing, found="image that can be decoded")
    skipped = [Remark(fact.name, fact.problem) for fact in everything if fact.problem]
    splits = divide(listing, config, seed)
    return Source(
        name=data,
        class_names=listing.class_names,
        tasks=fit_tasks(data, listing.tasks, splits["train"]),
        train=splits["train"],
        val=splits["val"],
        test=splits.get("test"),
        skipped=(*skipped, *listing.outside),
        suspects=find_suspects(kept),
    )


def check_labels(data: str, listing: Listing, *, found: str = "image") -> None:
    """Checks that there is something to tell apart, and that training sees all of it.

    Args:
        data: As the user wrote it.
        listing: What is left of what a reader found.
        found: What a class lacks, in the message.

    Raises:
        DataError: There is not; see `check_classes` and `check_tasks`.
    """
    check = check_classes if listing.tasks[0].bare else check_tasks
    check(data, listing, found=found)
