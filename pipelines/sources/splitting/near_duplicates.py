"""Near-duplicates: images that are the same but for encoding, size, brightness, crop or mirroring.

Only pixels say so, by their perceptual hashes: to a backbone two photographs of one subject can be
as alike as two copies of one photograph. Every image is compared with every other, by the hashes of
the whole images first, which is a product of two matrices, and those that have much in common by
the hashes of all windows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.sources.examining.perceptual_hash import (
    NUM_BITS,
    PerceptualHashes,
    split_evenly,
    unpack_bits,
)
from pipelines.sources.scanning.hashed_images import are_comparable, hash_examples
from pipelines.sources.source import Examples
from pipelines.sources.splitting.copies import group_copies
from pipelines.sources.splitting.groups import connect

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipelines.sources.examining.perceptual_hash import Indices, Words

MAX_DIFFERENCES = 18
"""Bits of 143 in which the hashes of near-duplicates differ, at most.

Set on hand signs and CIFAR-10. Of the pairs of 1,000 hand signs, all photographed in one place, ten
differ in 18 bits or fewer and 30 in 20 or fewer. Copies differ in at most 12, of CIFAR-10 in at
most 24: re-encoded at quality 60, resized by 0.7, cropped by 5 %, mirrored, 10 % brighter.
"""

MAX_WHOLE_DIFFERENCES = 56
"""Bits in which the hashes of the whole images of a pair differ, at most, for their windows to be
compared. Of cropped copies in CIFAR-10, 1 of 100 differs in more."""

MANY_PAIRS = 10**8
"""Pairs from which on it is MAX_WHOLE_OF_MANY, so that 1 of 500 is compared by windows instead of 1
of 50. It loses 1 of 40 cropped copies in CIFAR-10."""

MAX_WHOLE_OF_MANY = 50

_ROWS, _PAIRS = 1024, 4096
"""Images and pairs that are compared at once."""


def group_near_duplicates(examples: Examples) -> Indices | None:
    """Numbers the different images of a data set.

    Images that are too small for a hash are near-duplicates of their copies alone.

    Args:
        examples: N scanned images.

    Returns:
        int64 [N], the same number for near-duplicates and all that are such through others; None
        if all differ.

    Raises:
        DataError: An image changed after it was scanned.
    """
    import numpy as np

    # Of copies, the first stands for all.
    copies = group_copies(examples)
    first = np.arange(len(examples))
    if copies is not None:
        first = np.unique(copies, return_index=True)[1]
    compared = first[are_comparable(examples)[first]]
    pairs = compared[find_near_duplicates(hash_examples(examples.take(compared)))]
    if copies is not None:
        own = np.stack([np.arange(len(examples)), first[copies]], axis=1)
        pairs = np.concatenate([pairs, own])
    return connect(pairs, len(examples))


def find_near_duplicates(hashes: PerceptualHashes) -> Indices:
    """Finds the near-duplicates among images.

    Args:
        hashes: Of N images.

    Returns:
        int64 [P, 2], each pair once, the lower index first, in rising order.
    """
    return _find_pairs(hashes, None)


def find_near_duplicates_of(hashes: PerceptualHashes, others: PerceptualHashes) -> Indices:
    """Finds the pairs of an image and another that are near-duplicates.

    Args:
        hashes: Of N images.
        others: Of M others.

    Returns:
        int64 [P, 2]: indices below N, and below M; in rising order.
    """
    return _find_pairs(hashes, others)


def _find_pairs(hashes: PerceptualHashes, others: PerceptualHashes | None) -> Indices:
    import numpy as np

    second = hashes if others is None else others
    first_signs, mirrored_signs = _signs(hashes.windows[:, 0]), _signs(hashes.mirrored)
    second_signs = _signs(second.windows[:, 0])
    # Of signs, the product is the number of equal bits less that of different ones.
    many = len(hashes) * len(second) > MANY_PAIRS
    least = NUM_BITS - 2 * (MAX_WHOLE_OF_MANY if many else MAX_WHOLE_DIFFERENCES)
    found = [np.zeros((0, 2), np.int64)]
    for part in split_evenly(len(hashes), _ROWS):
        # Each pair of one set is compared once, from its lower index.
        begin = part.start if others is None else 0
        alike = first_signs[part] @ second_signs[begin:].T >= least
        alike |= mirrored_signs[part] @ second_signs[begin:].T >= least
        # Of a flat array NumPy finds the few that are true several times as fast.
        pairs = np.stack(np.divmod(np.flatnonzero(alike), alike.shape[1]), axis=1)
        pairs += (part.start, begin)
        if others is None:
            pairs = pairs[pairs[:, 0] < pairs[:, 1]]
        found += [
            chosen[_differences(hashes, second, chosen) <= MAX_DIFFERENCES]
            for chosen in (pairs[some] for some in split_evenly(len(pairs), _PAIRS))
        ]
    return np.concatenate(found)


def _differences(hashes: PerceptualHashes, others: PerceptualHashes, pairs: Indices) -> Indices:
    return hashes.take(pairs[:, 0]).count_differences(others.take(pairs[:, 1]))


def _signs(words: Words) -> npt.NDArray[np.float32]:
    """Returns the bits of hashes as -1 and 1, float32 [N, 143]."""
    import numpy as np

    return 2 * unpack_bits(words).astype(np.float32) - 1
