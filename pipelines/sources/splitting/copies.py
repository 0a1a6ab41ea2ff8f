"""Images that are equal byte for byte, by their digests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.sources.columns import sortable
from pipelines.sources.source import Examples

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def group_copies(examples: Examples) -> npt.NDArray[np.int64] | None:
    """Numbers the different images of a split.

    Args:
        examples: Scanned images.

    Returns:
        int64 [N], the same number for copies of an image; None if all differ, or if there
        are no digests.
    """
    import numpy as np

    if not len(examples.digests) or len(np.unique(_heads(examples))) == len(examples):
        return None
    different, numbers = np.unique(sortable(examples.binary_digests), return_inverse=True)
    return None if len(different) == len(examples) else numbers.astype(np.int64)


def find_copies_of(examples: Examples, others: Examples) -> npt.NDArray[np.bool_]:
    """Returns which images are copies of others, bool [N].

    Args:
        examples: N scanned images.
        others: Scanned images of another split.
    """
    import numpy as np

    found = np.isin(_heads(examples), _heads(others))
    likely = examples.take(np.flatnonzero(found))
    if len(likely):
        found[found] = np.isin(sortable(likely.binary_digests), sortable(others.binary_digests))
    return found


def _heads(examples: Examples) -> npt.NDArray[np.uint64]:
    """Returns the first 8 bytes of each digest, which sort ten times as fast as the whole."""
    import numpy as np

    return np.ascontiguousarray(examples.binary_digests[:, :8]).view(np.uint64).reshape(-1)
