"""Groups of images that belong together: a patient, a scene, a burst, copies that were edited."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from pipelines.sources.source import Examples, Listing, join_examples
from pipelines.sources.splitting.groups import group_related, join_groupings


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
    groups = {}
    for split, examples in listing.splits.items():
        found = (numbers.setdefault(text, len(numbers) - 1) for text in texts[split])
        groups[split] = np.fromiter(found, np.int64, len(examples))
    names = tuple(numbers)[1:]
    splits = {
        split: replace(examples, groups=groups[split], group_names=names)
        for split, examples in listing.splits.items()
    }
    return replace(listing, splits=splits)


def join_groups(listing: Listing, grouped: Listing) -> Listing:
    """Returns a listing whose images are grouped by two listings of them.

    Groups that share an image become one, which is called by its first image.

    Args:
        listing: The images of all splits, grouped or not.
        grouped: The same images, grouped.
    """
    import numpy as np

    def join(parts: Iterable[Examples]) -> Examples:
        return join_examples([replace(e, columns={}, targets={}, digests=()) for e in parts])

    groupings = [join(listing.splits.values()), join(grouped.splits.values())]
    numbers = [number for number in map(group_related, groupings) if number is not None]
    alone = np.logical_and.reduce([g.groups < 0 for g in groupings if g.groups is not None])
    joined = join_groupings(numbers)
    if joined is None:
        joined = np.arange(len(alone))
    names = groupings[0].names
    texts = np.full(len(alone), "", object)
    first: dict[int, str] = {}
    for index in np.flatnonzero(~alone).tolist():
        texts[index] = first.setdefault(int(joined[index]), names[index])
    ends = np.cumsum([len(examples) for examples in listing.splits.values()])
    return with_groups(listing, dict(zip(listing.splits, np.split(texts, ends[:-1]), strict=True)))
