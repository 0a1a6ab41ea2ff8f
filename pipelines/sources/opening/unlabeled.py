"""Open images whatever their labels, all of them or a sample."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pipelines.sources.columns import sortable
from pipelines.sources.config import DataConfig
from pipelines.sources.examining.kept_images import KeptImages
from pipelines.sources.listing.catalog import kind_of
from pipelines.sources.opening.evaluation_set import EvaluationSet
from pipelines.sources.opening.scanned_dataset import scan_dataset
from pipelines.sources.source import Examples, join_examples
from pipelines.sources.splitting.copies import find_copies_of
from zoo.tasks import CLASSIFICATION


def open_unlabeled(
    data: str, *, at_most: int | None = None, kept: KeptImages | None = None
) -> EvaluationSet:
    """Reads images and decodes each once; their labels mean nothing.

    Args:
        data: DATA as the command line takes it; a folder may be unsorted.
        at_most: How many images to take, evenly spaced over the data set, at least 1; None takes
            all. Those that do not decode are left out.
        kept: Takes the decoded images of files that were read, as long as there is room.

    Returns:
        The images in the one split `all`.

    Raises:
        DataError: There are no images, or none of those taken decodes.
        UnknownNameError: TFDS has no such data set.
    """
    tasks, config = (CLASSIFICATION,), DataConfig()
    listing = kind_of(data).list_images(data, tasks, config, labeled=False)
    if listing.splits:
        examples = join_examples(list(listing.splits.values()))
        if at_most is not None and at_most < len(examples):
            examples = examples.take(np.linspace(0, len(examples) - 1, at_most).astype(np.int64))
        listing = replace(listing, splits={"all": examples})
    scanned = scan_dataset(data, listing, tasks, config, labeled=False, trainable=False, kept=kept)
    return EvaluationSet.of(data, scanned, mend="check the path")


def find_new_images(examples: Examples, known: Iterable[Examples]) -> npt.NDArray[np.bool_]:
    """Returns which images are neither copies of known ones nor of earlier ones, bool [N].

    Args:
        examples: N images.
        known: Those of a data set, by split.
    """
    is_new = np.zeros(len(examples), bool)
    is_new[np.unique(sortable(examples.binary_digests), return_index=True)[1]] = True
    for part in known:
        is_new &= ~find_copies_of(examples, part)
    return is_new
