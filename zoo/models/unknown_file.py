"""unknown.npz: the unknown scorer of a run, in NumPy's own format."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from zoo.files import replacing
from zoo.models.unknown import MahalanobisScorer, NeighborScorer, UnknownScorer
from zoo.reading import read_arrays


def save_scorer(file: Path, scorer: UnknownScorer) -> None:
    """Writes a scorer: its arrays, `threshold` and, of neighbors, `num_neighbors`."""
    arrays: dict[str, Any] = {**scorer.arrays, "threshold": np.float64(scorer.threshold)}
    if isinstance(scorer, NeighborScorer):
        arrays["num_neighbors"] = np.float64(scorer.num_neighbors)
    with replacing(file) as temporary:
        np.savez(temporary, **arrays)


def load_scorer(file: Path, num_features: int) -> UnknownScorer:
    """Reads a scorer.

    Args:
        file: What `save_scorer` wrote.
        num_features: F, the width of the features that it is for.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is damaged, or is for other features.
    """
    arrays = read_arrays(file)
    numbers = {}
    for name in ("threshold", "num_neighbors"):
        if (value := arrays.pop(name, None)) is not None:
            if value.shape or value.dtype != np.float64 or not 0 < value < math.inf:
                raise ValueError(f"{name} is no positive number")
            numbers[name] = float(value)
    if any(array.dtype != np.float32 or not np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("its arrays are not finite numbers of 32 bits")
    shapes = {name: array.shape for name, array in arrays.items()}
    width = num_features
    scorer: UnknownScorer
    if "bank" in shapes:
        count = shapes["bank"][0] if shapes["bank"] else 0
        neighbors = int(numbers.get("num_neighbors", 0))
        expected: dict[str, tuple[int, ...]] = {"bank": (count, width)}
        if not 1 <= neighbors <= count:
            raise ValueError(f"num_neighbors = {neighbors} of {count}")
    else:
        count = shapes["means"][0] if shapes.get("means") else 0
        expected = {"center": (width,), "whitening": (width, width), "means": (count, width)}
    if shapes != expected or not count or "threshold" not in numbers:
        raise ValueError(f"arrays of the shapes {shapes}, not {expected}")
    if "bank" in shapes:
        scorer = NeighborScorer(numbers["threshold"], arrays["bank"], neighbors)
    else:
        scorer = MahalanobisScorer(numbers["threshold"], **arrays)
    return scorer
