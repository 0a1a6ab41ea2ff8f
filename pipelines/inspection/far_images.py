"""Images far from all others: outliers by the distance to their nearest neighbors' features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tuning.nearest_neighbors import Floats, find_neighbors

NUM_NEIGHBORS = 10
"""k: a group of fewer images than that far from the rest is far as well."""

MIN_IMAGES = 2 * NUM_NEIGHBORS
"""Of fewer images, the tenth neighbor says nothing."""

FENCE = 3.0
"""Interquartile ranges above the upper quartile, from which on values are "far out"."""


@dataclass(frozen=True)
class FarImages:
    """Distances of N images to their k-th neighbor, and which are far.

    Args:
        distances: float32 [N], between standardized features.
        threshold: Larger distances are far.
    """

    distances: Floats
    threshold: float

    @property
    def images(self) -> npt.NDArray[np.int64]:
        """Indices of the images that are far, the farthest first."""
        order = np.argsort(-self.distances, kind="stable")
        return order[self.distances[order] > self.threshold]


def find_far_images(rows: Floats, num_neighbors: int = NUM_NEIGHBORS) -> FarImages:
    """Measures the distance of each image to its k-th neighbor.

    The threshold is Tukey's outer fence of these distances, Q3 + 3 · (Q3 − Q1), so that it needs
    no unit and depends little on the outliers themselves. References: Ramaswamy, Rastogi and Shim,
    2000, https://doi.org/10.1145/342009.335437; Tukey, 1977, Exploratory Data Analysis.

    Args:
        rows: float32 [N, F], standardized, N above k.
        num_neighbors: k.
    """
    distances = find_neighbors(rows, num_neighbors).distances[:, -1]
    lower, upper = np.quantile(distances.astype(np.float64), [0.25, 0.75]).tolist()
    return FarImages(distances, upper + FENCE * (upper - lower))
