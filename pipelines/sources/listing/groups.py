"""Groups of images that belong together by their owner's word: a patient, a scene, a burst."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from pipelines.sources.source import Listing


def group_by_names(listing: Listing, pattern: str) -> Listing:
    """Returns a listing whose images are grouped by what a pattern finds in their names.

    Args:
        listing: The images of all splits.
        pattern: A regular expression; see `DataConfig.group`.
    """
    search = re.compile(pattern).search

    def find(name: str) -> str:
        found = search(name)
        return "" if found is None else found[1 if found.re.groups else 0] or ""

    texts = {split: map(find, examples.names) for split, examples in listing.splits.items()}
    return with_groups(listing, texts)


def with_groups(listing: Listing, texts: Mapping[str, Iterable[str]]) -> Listing:
    """Returns a listing whose images are grouped by equal texts.

    Args:
        listing: The images of all splits.
        texts: Of each split, a text for each image; an image with an empty one stands alone.
    """
    import numpy as np

    numbers: dict[str, int] = {"": -1}
    splits = {}
    for split, examples in listing.splits.items():
        found = (numbers.setdefault(text, len(numbers) - 1) for text in texts[split])
        splits[split] = replace(examples, groups=np.fromiter(found, np.int64, len(examples)))
    return replace(listing, splits=splits)
