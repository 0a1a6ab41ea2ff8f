"""Groups of near-duplicates, which no split or fold made here divides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipelines.sources.listing.groups import join_groups, with_groups
from pipelines.sources.source import Listing, join_examples
from pipelines.sources.splitting.groups import list_groups
from pipelines.sources.splitting.near_duplicates import group_near_duplicates


def group_by_near_duplicates(listing: Listing) -> Listing:
    """Returns a listing whose near-duplicates are grouped.

    Where images are grouped already, the groups that share a near-duplicate become one.

    Args:
        listing: The images that decode, of all splits.

    Raises:
        DataError: An image changed after it was scanned.
    """
    if not listing.splits:
        return listing
    whole = join_examples([replace(e, columns={}, targets={}) for e in listing.splits.values()])
    numbers = group_near_duplicates(whole)
    if numbers is None:
        numbers = np.arange(len(whole))
    texts = np.full(len(whole), "", object)
    for number, members in enumerate(list_groups(numbers)):
        texts[members] = str(number)
    ends = np.cumsum([len(examples) for examples in listing.splits.values()])
    parts = dict(zip(listing.splits, np.split(texts, ends[:-1]), strict=True))
    return join_groups(listing, with_groups(listing, parts))
