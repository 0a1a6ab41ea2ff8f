"""Draw a sample of a data set's images, whatever their labels."""

from __future__ import annotations

from dataclasses import replace

from pipelines.sources.config import DataConfig
from pipelines.sources.listing.catalog import kind_of
from pipelines.sources.opening.scanned_dataset import scan_dataset
from pipelines.sources.source import Examples, join_examples
from zoo.errors import UndecodableError
from zoo.tasks import CLASSIFICATION


def sample_images(data: str, count: int) -> Examples:
    """Returns images of a data set, evenly spaced over it.

    Args:
        data: DATA as the command line takes it; a folder may be unsorted.
        count: How many images to take, at least 1. Those that do not decode are left out.

    Raises:
        DataError: There are no images, or none of the sample decodes.
        UnknownNameError: TFDS has no such data set.
    """
    import numpy as np

    tasks, config = (CLASSIFICATION,), DataConfig()
    listing = kind_of(data).list_images(data, tasks, config, labeled=False)
    if listing.splits:
        examples = join_examples(list(listing.splits.values()))
        indices = np.linspace(0, len(examples) - 1, min(count, len(examples))).astype(np.int64)
        listing = replace(listing, splits={"all": examples.take(indices)})
    scanned = scan_dataset(data, listing, tasks, config, labeled=False, trainable=False)
    if not scanned.decoded:
        first = scanned.undecodable[0]
        raise UndecodableError(
            f"None of {len(scanned.scans)} files in {data!r} can be decoded",
            received=f"{first.name} ({first.reason})",
            mend="check the path",
        )
    return scanned.decodable.splits["all"]
