"""Learning curve of a linear head on features: what more labels would buy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.inspection.label_errors import NUM_FOLDS
from pipelines.inspection.probe import Indices, probe_features
from tuning.folds import count_folds, stratified_folds, stratified_subset
from tuning.learning_curve import extrapolate

FRACTIONS = (0.125, 0.25, 0.5, 1.0)
"""Of the images that a fold fits to."""

_DRAWS = 2
"""Subsets of each fraction but the last."""

_MAX_IMAGES = 2000
"""Images that the curve is made of, at most."""

_MIN_PER_CLASS = 2
"""Images a class that a fraction has on average, at least."""

_MIN_SIZES = 3


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy of a linear head on images that it was not fitted to, by number of labels.

    Args:
        labels: Numbers of labels, in rising order.
        accuracy: With each.
        next_labels: Twice the largest number.
        next_accuracy: What a power law that is fitted to the others expects with so many.
        next_interval: Its 95 % interval, over which images there happened to be.
    """

    labels: tuple[int, ...]
    accuracy: tuple[float, ...]
    next_labels: int
    next_accuracy: float
    next_interval: tuple[float, float]

    def describe(self) -> str:
        """Returns what more labels would buy, in a sentence."""
        low, high = self.next_interval
        return (
            f"a linear head on these features is right for {self.accuracy[-1]:.3f} of other "
            f"images with {self.labels[-1]} labels; with {self.next_labels} it would be for about "
            f"{self.next_accuracy:.3f} (95 % interval {low:.3f} to {high:.3f})"
        )


def compute_learning_curve(
    rows: npt.NDArray[np.float32], labels: Indices, groups: Indices, num_classes: int, seed: int
) -> LearningCurve | None:
    """Measures a linear head after fewer and fewer labels, and extrapolates to twice as many.

    Args:
        rows: float32 [N, F], features as they are.
        labels: int64 [N].
        groups: int64 [N], the same number for near-duplicates and images of one group, which lie
            in one fold.
        num_classes: C.
        seed: Seeds folds and subsets.

    Returns:
        The curve; None where a class has fewer than NUM_FOLDS different images, or there are too
        few for three points.
    """
    chosen = stratified_subset(labels, _MAX_IMAGES, seed)
    rows, labels, groups = rows[chosen], labels[chosen], groups[chosen]
    if count_folds(labels, num_classes, groups) < NUM_FOLDS:
        return None
    grouped = groups if len(np.unique(groups)) < len(groups) else None
    folds = stratified_folds(labels, NUM_FOLDS, seed, grouped)
    sizes, errors = [], []
    for fraction in FRACTIONS:
        size = round(fraction * float(np.mean([len(fit) for fit, _ in folds])))
        if size < _MIN_PER_CLASS * num_classes:
            continue
        draws = _DRAWS if fraction < 1 else 1
        sizes.append(size)
        wrong = []
        for draw in range(draws):
            smaller = [
                (fit[stratified_subset(labels[fit], round(fraction * len(fit)), seed + draw)], held)
                for fit, held in folds
            ]
            wrong.append(~probe_features(rows, labels, smaller, num_classes).hits)
        errors.append(np.mean(wrong, axis=0))
    if len(sizes) < _MIN_SIZES:
        return None
    found = extrapolate(sizes, np.stack(errors), 2 * sizes[-1], seed)
    return LearningCurve(
        tuple(sizes),
        tuple(round(1 - float(each.mean()), 4) for each in errors),
        2 * sizes[-1],
        round(1 - found.error, 4),
        (round(1 - found.high, 4), round(1 - found.low, 4)),
    )
