"""Images that no split or fold may divide: copies, and those that their owner groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.sources.source import Examples
from pipelines.sources.splitting.copies import group_copies

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def group_related(examples: Examples) -> npt.NDArray[np.int64] | None:
    """Numbers the images of a split so that those that belong together share a number.

    Copies of an image belong together, and images of one group of `Examples.groups`; so do,
    by way of these, the images of two groups that share a copy.

    Args:
        examples: Scanned images.

    Returns:
        int64 [N]; None if each image stands alone.
    """
    copies, own = group_copies(examples), _number_alone(examples.groups)
    if own is None:
        return copies
    return join_groupings([own, *([] if copies is None else [copies])])


def list_groups(groups: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """Returns the members of each group of several, in the order of their first.

    Args:
        groups: int64 [N], the number of each item's group.
    """
    import numpy as np

    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    members = [group for group in np.split(order, starts) if len(group) > 1]
    return sorted(members, key=lambda group: int(group[0]))


def join_groupings(groupings: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64] | None:
    """Numbers N items so that those that share a number in any grouping share one.

    Args:
        groupings: int64 [N] each.

    Returns:
        int64 [N], numbers from 0 on; None if no two items share one.
    """
    import numpy as np

    if not groupings:
        return None
    # Each item is tied to the first of its group.
    firsts = [_first_of_group(grouping) for grouping in groupings]
    items = np.tile(np.arange(len(groupings[0])), len(groupings))
    return connect(np.stack([items, np.concatenate(firsts)], axis=1), len(groupings[0]))


def connect(pairs: npt.NDArray[np.int64], num_items: int) -> npt.NDArray[np.int64] | None:
    """Numbers the connected components of items that pairs connect.

    Args:
        pairs: int64 [P, 2].
        num_items: N.

    Returns:
        int64 [N], numbers from 0 on in the order of their first; None if no two items share one.

    Example:
        >>> import numpy as np
        >>> connect(np.array([[0, 2], [2, 3]]), 5).tolist()
        [0, 1, 0, 0, 2]
    """
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(pairs), np.int8)
    ties = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(num_items, num_items))
    count, numbers = connected_components(ties, directed=False)
    return None if count == num_items else numbers.astype(np.int64)


def _first_of_group(grouping: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    import numpy as np

    _, first, numbers = np.unique(grouping, return_index=True, return_inverse=True)
    return first[numbers].astype(np.int64)


def _number_alone(groups: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int64] | None:
    """Gives each image that stands alone, -1, a number of its own."""
    import numpy as np

    if groups is None:
        return None
    own = groups.max(initial=-1) + 1 + np.arange(len(groups))
    return np.where(groups < 0, own, groups)
