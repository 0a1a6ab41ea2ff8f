"""Near-duplicates: images that are the same but for encoding, size, brightness, crop or mirroring.

Features propose pairs, since a frozen backbone hardly sees these changes: each image and its ten
nearest neighbors. Perceptual hashes decide about them, since to the backbone two photographs of
one subject can be as alike as two copies of one photograph.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pipelines.inspection.perceptual_hash import PerceptualHashes
from tuning.nearest_neighbors import MAX_EXACT_ROWS, Floats, find_neighbors

Indices = npt.NDArray[np.int64]

NUM_NEIGHBORS = 10
"""Images that each is compared with by its pixels, at most."""

MIN_COSINE = 0.5
"""Of many images, those pairs are compared by their pixels whose features have this cosine, so that
few images are decoded. Some copies are lost by it: of hand signs of 100 pixels, which a backbone
sees at 224, a seventh of those re-encoded at quality 60 and a fifth of those scaled by 0.7."""

MAX_DIFFERENCES = 18
"""Bits of 143 in which the hashes of near-duplicates differ, at most.

Set on hand signs and CIFAR-10. Of the pairs of 1,000 hand signs, all photographed in one place, ten
differ in 18 bits or fewer and 30 in 20 or fewer. Copies differ in at most 12, of CIFAR-10 in at
most 20: re-encoded at quality 60, resized by 0.7, cropped by 5 %, mirrored, 10 % brighter.
"""


def group_near_duplicates(
    rows: Floats,
    copies: Indices | None,
    comparable: npt.NDArray[np.bool_],
    hash_at: Callable[[Indices], PerceptualHashes],
) -> Indices:
    """Numbers the different images of a data set.

    Args:
        rows: float32 [N, F], standardized features.
        copies: int64 [N], the same number for images that are equal byte for byte; None if all
            differ.
        comparable: bool [N], whether an image has the pixels that a hash needs; others are
            near-duplicates only of their copies.
        hash_at: Hashes the images at some indices: those that have a neighbor to compare with.

    Returns:
        int64 [N], the same number for near-duplicates and all that are such through others.
    """
    different, numbers = np.arange(len(rows)), np.arange(len(rows))
    if copies is not None:
        _, different, numbers = np.unique(copies, return_index=True, return_inverse=True)
    min_cosine = MIN_COSINE if len(different) > MAX_EXACT_ROWS else -1.0
    pairs = find_similar_pairs(rows[different], NUM_NEIGHBORS, min_cosine)
    pairs = pairs[comparable[different[pairs]].all(axis=1)]
    if len(pairs):
        compared, places = np.unique(pairs, return_inverse=True)
        hashes = hash_at(different[compared])
        first, second = places.reshape(-1, 2).T
        pairs = pairs[hashes.count_differences(first, second) <= MAX_DIFFERENCES]
    return connect(pairs, len(different))[numbers]


def find_similar_pairs(rows: Floats, num_neighbors: int, min_cosine: float) -> Indices:
    """Finds pairs of rows of which one is among the nearest neighbors of the other.

    Args:
        rows: float32 [N, F].
        num_neighbors: Neighbors of each row, at most.
        min_cosine: Cosine of the rows of a pair, at least.

    Returns:
        int64 [P, 2], each pair once, the lower index first, in rising order.
    """
    from sklearn.preprocessing import normalize

    num_neighbors = min(num_neighbors, len(rows) - 1)
    if num_neighbors < 1:
        return np.zeros((0, 2), np.int64)
    found = find_neighbors(normalize(rows), num_neighbors)
    # Of rows of length 1: |a - b|² = 2 - 2 cos.
    alike = np.square(found.distances) <= 2 - 2 * min_cosine
    pairs = np.stack([np.nonzero(alike)[0], found.indices[alike]], axis=1)
    return np.unique(np.sort(pairs, axis=1), axis=0)


def connect(pairs: Indices, num_images: int) -> Indices:
    """Numbers the connected components of images that pairs connect.

    Args:
        pairs: int64 [P, 2].
        num_images: N.

    Example:
        >>> connect(np.array([[0, 2], [2, 3]]), 5).tolist()
        [0, 1, 0, 0, 2]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(pairs), np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(num_images, num_images))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)
