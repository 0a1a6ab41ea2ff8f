"""Find the images that a run recorded, by their content."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pipelines.sources.columns import Digests, KeyIndex
from pipelines.sources.config import DataConfig
from pipelines.sources.opening.evaluation_set import list_any_split
from pipelines.sources.scanning.scan import keep_decodable, scan_images
from pipelines.sources.source import Examples, join_examples
from zoo.tasks import Task


def find_recorded(
    data: str, digests: Collection[str], config: DataConfig, tasks: Sequence[Task]
) -> Examples | None:
    """Finds images of a data set by their digests.

    Names, folders, classes and splits may have changed since, and other images may have
    been added: only the bytes of a file count. So nothing is checked that training needs.

    Args:
        data: DATA as the command line takes it.
        digests: SHA-256 digests of the images to find.
        config: How a table names columns and files, and how changes of files are noticed.
        tasks: The tasks of the run, unbound, by which a table's columns are read.

    Returns:
        One image for each digest that is there, in the order of the data set; their labels
        mean nothing. None if there is none.

    Raises:
        DataError: The data set cannot be read.
    """
    import numpy as np

    listing = list_any_split(data, tasks, config)
    decodable = keep_decodable(listing, scan_images(listing, config))
    if not decodable.splits or not digests:
        return None
    examples = join_examples(list(decodable.splits.values()))
    # The first of several copies stands for all.
    wanted = Digests.of(digests).binary
    rows = KeyIndex(examples.binary_digests[::-1]).find(wanted)
    found = len(examples) - 1 - rows[rows >= 0]
    return examples.take(np.unique(found)) if len(found) else None
