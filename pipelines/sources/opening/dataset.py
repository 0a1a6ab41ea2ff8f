"""Open a data set for training: read, validate and split its images."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.sources.checking.task_columns import fit_tasks
from pipelines.sources.config import DataConfig
from pipelines.sources.examining.kept_images import KeptImages
from pipelines.sources.listing.catalog import kind_of
from pipelines.sources.opening.scanned_dataset import scan_dataset
from pipelines.sources.source import Source
from pipelines.sources.splitting.split import split_listing
from zoo.tasks import CLASSIFICATION, Task


def open_source(
    data: str,
    config: DataConfig | None = None,
    *,
    seed: int = 0,
    tasks: Sequence[Task] = (CLASSIFICATION,),
    labeled: bool = True,
    kept: KeptImages | None = None,
) -> Source:
    """Reads a data set, decodes each image once, validates and splits it.

    Args:
        data: A folder, a .csv file, `tfds:NAME[:CONFIG]`, `signs`, `textures` or
            `digits`.
        config: Images to exclude, and shares of the splits; None takes the defaults.
        seed: Seed of the split, if the data set has no splits of its own.
        tasks: The tasks to learn.
        labeled: Whether a model is to learn the labels. Otherwise one class is enough,
            classes may be missing from training, and a folder may be unsorted.
        kept: Takes the decoded images of files that were read, as long as there is room, for
            what reads them next.

    Raises:
        DataError: The data set cannot be trained on; see the subclasses.
        UnknownNameError: TFDS has no such data set.
    """
    config = config or DataConfig()
    listing = kind_of(data).list_images(data, tasks, config, labeled=labeled)
    scanned = scan_dataset(data, listing, tasks, config, labeled=labeled, trainable=True, kept=kept)
    splits = split_listing(scanned.decodable, config, seed)
    return Source(
        name=data,
        class_names=scanned.decodable.class_names,
        tasks=fit_tasks(data, scanned.decodable.tasks, splits["train"]),
        train=splits["train"],
        val=splits["val"],
        test=splits.get("test"),
        skipped=scanned.skipped,
        damaged=scanned.damaged,
        outliers=scanned.outliers,
        remarks=scanned.remarks if labeled else scanned.decodable.hints,
        own_val="val" in scanned.decodable.splits,
    )
