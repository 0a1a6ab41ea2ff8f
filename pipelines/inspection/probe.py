"""Cross-validated linear probe: how well a linear head on features classifies unseen images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from tuning.linear_heads.logistic_regression import compute_log_losses
from tuning.linear_heads.strengths import STRENGTHS, Division, choose_strength

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ProbeScore:
    """Predictions of N images, each by a head that was fitted without it.

    Args:
        l2: The strength of L2 of these heads.
        log_losses: Cross-entropy of each image in nats, float32 [N].
        hits: Whether each image is classified rightly, bool [N].
    """

    l2: float
    log_losses: npt.NDArray[np.float32]
    hits: npt.NDArray[np.bool_]

    @property
    def log_loss(self) -> float:
        """Mean cross-entropy, in nats."""
        return float(self.log_losses.mean(dtype=np.float64))

    @property
    def num_hits(self) -> int:
        """Images classified rightly."""
        return int(self.hits.sum())

    @property
    def accuracy(self) -> float:
        """Share of the images classified rightly."""
        return self.num_hits / len(self.hits)


def probe_features(
    rows: npt.NDArray[np.float32],
    labels: Indices,
    folds: Sequence[tuple[Indices, Indices]],
    num_classes: int,
    *,
    strengths: Sequence[float] = STRENGTHS,
) -> ProbeScore:
    """Scores features by logistic regression on all folds but one, for each fold.

    Features are standardized by the images that a head is fitted to. One strength of L2 is
    chosen for all folds, by their mean log loss, which is therefore the least bit optimistic.

    Args:
        rows: float32 [N, F].
        labels: int64 [N].
        folds: Pairs of images to fit to and images to score, of `stratified_folds`.
        num_classes: C.
        strengths: Of L2, in falling order.
    """
    l2, log_probabilities = predict_out_of_fold(
        rows, labels, folds, num_classes, strengths=strengths
    )
    return ProbeScore(
        l2,
        compute_log_losses(log_probabilities, labels),
        log_probabilities.argmax(axis=1) == labels,
    )


def predict_out_of_fold(
    rows: npt.NDArray[np.float32],
    labels: Indices,
    folds: Sequence[tuple[Indices, Indices]],
    num_classes: int,
    *,
    strengths: Sequence[float] = STRENGTHS,
) -> tuple[float, npt.NDArray[np.float32]]:
    """Classifies each image by a head that was fitted without its fold.

    Args:
        rows: float32 [N, F].
        labels: int64 [N].
        folds: Pairs of images to fit to and images to score, of `stratified_folds`.
        num_classes: C.
        strengths: Of L2, in falling order.

    Returns:
        The strength that was chosen, and log-probabilities float32 [N, C].
    """

    def divide(fit: Indices, held: Indices) -> Division:
        return Division(rows[None, fit], labels[fit], rows[held], labels[held])

    choice = choose_strength(
        [partial(divide, *fold) for fold in folds], num_classes, strengths=strengths
    )
    # From the order of the folds to that of the images.
    log_probabilities = np.empty_like(choice.log_probabilities)
    log_probabilities[np.concatenate([held for _, held in folds])] = choice.log_probabilities
    return choice.l2, log_probabilities
