"""Which images to label next: those that a classifier is unsure of, one of each kind."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from tuning.nearest_neighbors import Floats

Indices = npt.NDArray[np.int64]

_CANDIDATES = 10
"""Images that are compared for each that is chosen: the least sure ones."""


def compute_margins(probabilities: Floats) -> Floats:
    """Returns by how much each image's likeliest class is ahead of the second, float32 [N].

    Args:
        probabilities: float32 [N, C], C at least 2.
    """
    second, first = np.partition(probabilities, -2, axis=1)[:, -2:].T
    return np.asarray(first - second)


def choose_next_labels(rows: Floats, probabilities: Floats, count: int, seed: int) -> Indices:
    """Chooses images whose labels teach a classifier most.

    An image is worth a label if its two likeliest classes are close, and if no other chosen image
    is like it. The images with the smallest margins are clustered by their features with k-means,
    each weighted by 1 - its margin, and of each cluster the one next to the center is taken
    (Zhdanov, 2019, https://arxiv.org/abs/1901.05954).

    Args:
        rows: float32 [N, F], standardized features of images without a label.
        probabilities: float32 [N, C], what a classifier says of them, C at least 2.
        count: How many to choose, at least 1.
        seed: Seeds the clusters.

    Returns:
        int64 [min(count, N)], those with the smallest margins first.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.preprocessing import normalize
    from threadpoolctl import threadpool_limits

    margins = compute_margins(probabilities)
    candidates = np.argsort(margins, kind="stable")[: _CANDIDATES * count]
    if len(candidates) <= count:
        return candidates
    directions = normalize(rows[candidates])
    weights = 1 - margins[candidates].astype(np.float64)
    if not weights.any():
        weights[:] = 1.0
    # Sums of several threads differ in their last bits.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of fewer different images
        clusters = KMeans(count, n_init=1, random_state=seed).fit(directions, sample_weight=weights)
        distances = clusters.transform(directions)
    # Each center takes the nearest image that no other took: equal images share a center.
    chosen: list[int] = []
    for column in distances.T:
        order = np.argsort(column, kind="stable")
        chosen.append(next(place for place in order.tolist() if place not in chosen))
    return candidates[np.sort(chosen)]
