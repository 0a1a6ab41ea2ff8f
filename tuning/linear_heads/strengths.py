"""Choice of the L2 strength of a linear head, by the log loss of images it was not fitted to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tuning.linear_heads.logistic_regression import (
    Floats,
    compute_log_losses,
    fit_path,
    one_hot,
)
from tuning.optimization.distillation import SoftTargets
from zoo.blas_threads import one_blas_thread
from zoo.models.standardization import Standardization

STRENGTHS = tuple(float(f"{10**exponent:.3g}") for exponent in np.arange(1.5, -5.01, -0.5))
"""Strengths that are tried, strongest first: 31.6 to 0.00001 for standardized features."""

_RISES = 2
"""Weaker penalties are not tried once the log loss has risen this many times in a row."""

_NEIGHBORS = 2

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Division:
    """Images to fit a head to, and others to score it on.

    Args:
        rows: float32 [V, n, F], the V views of n images; the first is the plain one.
        labels: int64 [n].
        held_rows: float32 [m, F], the plain view of m other images.
        held_labels: int64 [m].
        class_weights: float32 [C], the weight of each class in the loss; None weighs all by 1.
        standardize: Whether features get mean 0 and standard deviation 1 over `rows`.
        soft_targets: What a teacher says of the n images; None without a teacher.
    """

    rows: Floats
    labels: Labels
    held_rows: Floats
    held_labels: Labels
    class_weights: Floats | None = None
    standardize: bool = True
    soft_targets: SoftTargets | None = None

    def targets(self, num_classes: int, label_smoothing: float = 0.0) -> Floats:
        """Returns what a head is fitted to in each view, float32 [V · n, C].

        Args:
            num_classes: C.
            label_smoothing: Of the labels.
        """
        targets = one_hot(self.labels, num_classes, label_smoothing)
        if self.soft_targets is not None:
            targets = self.soft_targets.mix(targets)
        return np.tile(targets, (len(self.rows), 1))

    def fit(
        self, strengths: Sequence[float], num_classes: int, label_smoothing: float = 0.0
    ) -> Iterator[Floats]:
        """Fits a head at each strength.

        Args:
            strengths: In falling order.
            num_classes: C.
            label_smoothing: Of the targets.

        Yields:
            Log-probabilities float32 [m, C] of the held-out images.
        """
        num_views, _, num_features = self.rows.shape
        statistics = (
            Standardization.fit(self.rows[0])
            if self.standardize
            else Standardization.identity(num_features)
        )
        rows = statistics.apply(self.rows).reshape(-1, num_features)
        labels = np.tile(self.labels, num_views)
        weights = None if self.class_weights is None else self.class_weights[labels]
        held_rows = statistics.apply(self.held_rows)
        targets = self.targets(num_classes, label_smoothing)
        for head in fit_path(rows, targets, strengths, sample_weights=weights):
            yield head.log_probabilities(held_rows)


@dataclass(frozen=True)
class StrengthChoice:
    """The strength with the lowest log loss.

    Args:
        l2: Strength of ΣW².
        log_loss: Mean cross-entropy of the held-out images, each scored once.
        hits: bool [M], whether each is classified rightly.
        losses: float32 [M], the cross-entropy of each.
        tried: Mean log loss by strength, strongest first.
        log_probabilities: float32 [M, C], of all held-out images, division by division.
    """

    l2: float
    log_loss: float
    hits: npt.NDArray[np.bool_]
    losses: Floats
    tried: Mapping[float, float]
    log_probabilities: Floats

    @property
    def accuracy(self) -> float:
        """Share of the images classified rightly."""
        return float(self.hits.mean())


def neighbors(l2: float, strengths: Sequence[float] = STRENGTHS) -> tuple[float, ...]:
    """Returns a strength and the two on either side, in falling order.

    Args:
        l2: One of `strengths`.
        strengths: In falling order.
    """
    position = strengths.index(l2)
    return tuple(strengths[max(0, position - _NEIGHBORS) : position + _NEIGHBORS + 1])


def choose_strength(
    divisions: Sequence[Callable[[], Division]],
    num_classes: int,
    *,
    strengths: Sequence[float] = STRENGTHS,
    label_smoothing: float = 0.0,
) -> StrengthChoice:
    """Tries strengths from the strongest on, until the log loss rises.

    Args:
        divisions: Each called once; folds, or the training and the validation images.
        num_classes: C.
        strengths: In falling order.
        label_smoothing: Of the targets that heads are fitted to.
    """
    opened = [division() for division in divisions]
    labels = np.concatenate([division.held_labels for division in opened])
    paths = [division.fit(strengths, num_classes, label_smoothing) for division in opened]
    tried: dict[float, float] = {}
    best: StrengthChoice | None = None
    rises = 0
    with one_blas_thread(), ThreadPoolExecutor(os.cpu_count()) as pool:
        for strength in strengths:
            log_probabilities = np.concatenate([*pool.map(next, paths)])
            losses = compute_log_losses(log_probabilities, labels)
            log_loss = float(losses.mean(dtype=np.float64))
            tried[strength] = log_loss
            if best is None or log_loss < best.log_loss:
                hits = log_probabilities.argmax(axis=1) == labels
                best = StrengthChoice(strength, log_loss, hits, losses, tried, log_probabilities)
                rises = 0
            else:
                rises += 1
                if rises == _RISES:
                    break
    if best is None:
        raise ValueError("expected at least one strength, received none")
    return best
