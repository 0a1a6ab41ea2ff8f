"""Fits of unknown scorers to features of known images, and of the threshold of their scores."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zoo.blas_threads import one_blas_thread
from zoo.models.unknown import Floats, MahalanobisScorer, NeighborScorer, UnknownScorer, unit_rows
from zoo.table import Table

MAX_BANK = 2000
"""Rows that are compared with every image, at most: of 1,280 features, 10 MB in an export."""

NUM_NEIGHBORS = 5
"""k of the distance to the k-th nearest image."""

_NUM_FOLDS = 5

_BLOCK = 1024
"""Rows that are compared with the bank at once."""


def fit_mahalanobis(rows: Floats, labels: npt.NDArray[np.int64]) -> MahalanobisScorer:
    """Fits a mean for each class that occurs, and one covariance of what is left within classes.

    Images are fewer than features as a rule, so that the covariance is shrunk towards a multiple
    of the identity by the formula of Ledoit and Wolf, 2004,
    https://doi.org/10.1016/S0047-259X(03)00096-4.

    Args:
        rows: float32 [N, F].
        labels: int64 [N].

    Returns:
        A scorer whose threshold is 1.

    Raises:
        ValueError: The features within classes do not differ.

    Reference: Lee et al., 2018, https://arxiv.org/abs/1807.03888
    """
    from scipy.linalg import cholesky, solve_triangular
    from sklearn.covariance import ledoit_wolf

    values = rows.astype(np.float64)
    found, codes = np.unique(labels, return_inverse=True)
    means = np.stack([values[codes == code].mean(axis=0) for code in range(len(found))])
    values -= means[codes]
    if not values.any():
        raise ValueError("features of images of a class do not differ")
    center = means.mean(axis=0)
    with one_blas_thread():
        covariance, _ = ledoit_wolf(values, assume_centered=True)
        lower = cholesky(covariance, lower=True, overwrite_a=True)
        whitening = solve_triangular(lower, np.eye(len(lower)), lower=True).T
        white = (means - center) @ whitening
    return MahalanobisScorer(1.0, *(a.astype(np.float32) for a in (center, whitening, white)))


def fit_neighbors(rows: Floats, labels: npt.NDArray[np.int64]) -> NeighborScorer:
    """Keeps the features of up to 2,000 images, each at length 1.

    Args:
        rows: float32 [N, F].
        labels: int64 [N]; by them, every class has its share of the images kept.

    Returns:
        A scorer whose threshold is 1.

    Reference: Sun et al., 2022, https://arxiv.org/abs/2204.06507
    """
    kept = _choose_bank(labels)
    return NeighborScorer(1.0, unit_rows(rows[kept]), min(NUM_NEIGHBORS, len(kept)))


def score_neighbors_of_others(
    rows: Floats,
    labels: npt.NDArray[np.int64],
    seed: int,
    groups: npt.NDArray[np.int64] | None = None,
) -> Floats:
    """Measures the distance of each image by neighbors, itself and its group not counted.

    Args:
        rows: float32 [N, F], N ≥ 2.
        labels: int64 [N].
        seed: Not used: nothing is drawn.
        groups: int64 [N], the same number for images that belong together, as copies do; None if
            each stands alone.

    Returns:
        Distances, float32 [N]; 2, the largest, where fewer than k images are left.

    Raises:
        ValueError: All images are of one group.
    """
    numbers = _number_groups(len(rows), groups)
    kept = _choose_bank(labels)
    bank, count = unit_rows(rows[kept]), min(NUM_NEIGHBORS, len(kept))
    distances = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        with one_blas_thread():
            products = unit_rows(rows[part]) @ bank.T
        products[numbers[part, None] == numbers[kept]] = -1
        distances[part] = np.maximum(1 - np.partition(products, -count)[:, -count], 0)
    return distances


def _choose_bank(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Returns indices of the images to keep, evenly spaced over the classes, in rising order."""
    order = np.argsort(labels, kind="stable")
    places = np.linspace(0, len(labels) - 1, min(len(labels), MAX_BANK)).astype(np.int64)
    return np.sort(order[places])


def _number_groups(count: int, groups: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int64]:
    """Returns the group of each of some images, which are of two or more.

    Raises:
        ValueError: They are not.
    """
    numbers = np.arange(count) if groups is None else groups
    if numbers.min() == numbers.max():
        raise ValueError("all images are of one group")
    return numbers


def score_on_folds(
    rows: Floats,
    labels: npt.NDArray[np.int64],
    seed: int,
    groups: npt.NDArray[np.int64] | None = None,
) -> Floats:
    """Measures the Mahalanobis distance of each image, fitted to the other folds of five.

    A scorer fitted to all finds new images a little nearer, so that fewer are refused.

    Args:
        rows: float32 [N, F], N ≥ 2.
        labels: int64 [N].
        seed: Seed of the division.
        groups: int64 [N], numbers from 0 on, the same for images that go to one fold, as
            copies do; None if each stands alone.

    Returns:
        Distances, float32 [N].

    Raises:
        ValueError: All images are of one group, or their features do not differ.
    """
    numbers = _number_groups(len(rows), groups)
    num_groups = int(numbers.max()) + 1
    folds = np.random.default_rng(seed).permutation(num_groups)[numbers] % _NUM_FOLDS
    distances = np.empty(len(rows), np.float32)
    for fold in range(min(_NUM_FOLDS, num_groups)):
        held = folds == fold
        distances[held] = fit_mahalanobis(rows[~held], labels[~held]).distances(rows[held])
    return distances


def find_threshold(distances: Floats, share: float) -> float:
    """Computes the distance that a share of new images of the same kind exceed, at most.

    Of n distances and a new one, each is the k-th smallest alike. The k-th smallest of the n,
    k = ⌈(n + 1)(1 − share)⌉, is therefore exceeded with a probability of 1 − k / (n + 1).

    Args:
        distances: float32 [n], of images that the scorer was not fitted to.
        share: Above 0, below 1. Where 1 / (n + 1) is more, that is what is exceeded.

    Returns:
        The k-th smallest distance, or the largest.

    Reference: Vovk et al., 2005, https://doi.org/10.1007/b106715

    Example:
        >>> find_threshold(np.arange(1, 100, dtype=np.float32), 0.05)  # k = ⌈100 · 0.95⌉
        95.0
    """
    count = len(distances)
    return float(np.sort(distances)[min(rank_of_threshold(count, share), count) - 1])


def rank_of_threshold(count: int, share: float) -> int:
    """Returns k = ⌈(n + 1)(1 − share)⌉: with the k-th smallest, at most `share` of new ones exceed.

    Args:
        count: n.
        share: Above 0, below 1.

    Returns:
        1 or more; n + 1 where n are too few for the share.
    """
    # Less by a rounding error: of 99 values and 5 %, 100 · 0.95 may be above 95.
    return math.ceil((count + 1) * (1 - share) - 1e-9)


@dataclass(frozen=True)
class UnknownMethod:
    """A way to tell images of the classes from others.

    Args:
        name: The key in UNKNOWN_METHODS.
        summary: What the score is.
        fit: Fits a scorer to features float32 [N, F] and classes int64 [N].
        score_held_out: Returns the distance of each of those images by the others, float32 [N];
            takes a seed and the groups of images that belong together, too.
    """

    name: str
    summary: str
    fit: Callable[[Floats, npt.NDArray[np.int64]], UnknownScorer]
    score_held_out: Callable[
        [Floats, npt.NDArray[np.int64], int, npt.NDArray[np.int64] | None], Floats
    ]


UNKNOWN_METHODS: Table[UnknownMethod] = Table(
    "method of unknown scores",
    [
        UnknownMethod(
            "neighbors",
            "cosine distance to the fifth nearest of up to 2,000 training images",
            fit_neighbors,
            score_neighbors_of_others,
        ),
        UnknownMethod(
            "mahalanobis",
            "distance to the nearest mean of a class, in units of the spread within classes",
            fit_mahalanobis,
            score_on_folds,
        ),
    ],
)
