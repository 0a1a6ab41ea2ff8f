"""Scores of how foreign an image is to a classifier's training images, from its pooled features.

A classifier names one of its classes for every image, that of a chair too. A scorer compares the
features that the head reads with those of images of the classes. A score above 1 is farther off
than a stated share of such images is, and the image counts as unknown.

References: Lee et al., 2018, https://arxiv.org/abs/1807.03888; Sun et al., 2022,
https://arxiv.org/abs/2204.06507
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from zoo.blas_threads import one_blas_thread
from zoo.models.trainable import pooled_features

Floats = npt.NDArray[np.float32]

UNKNOWN_SCORE, IS_UNKNOWN = "unknown_score", "is_unknown"
"""Outputs of exported models: float32 [B], and whether it is above 1, bool [B]."""


@dataclass(frozen=True)
class UnknownScorer(ABC):
    """Distance of pooled features to those of known images, divided by a threshold.

    Args:
        threshold: The distance whose score is 1, above 0.
    """

    threshold: float

    @property
    @abstractmethod
    def num_features(self) -> int:
        """F, the width of the features."""

    @property
    @abstractmethod
    def rounding(self) -> float:
        """What rounding to 32 bits may change in a score, above 0."""

    @abstractmethod
    def _measure(self, ops: Any, rows: Any, weights: Mapping[str, Any]) -> Any:
        """Computes distances [B] of rows [B, F] by NumPy or by `keras.ops`."""

    @property
    def arrays(self) -> dict[str, Floats]:
        """What the distance is computed from, by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if isinstance(value, np.ndarray)}

    def distances(self, rows: Floats) -> Floats:
        """Computes how far rows of features are from those of known images.

        Args:
            rows: float32 [N, F].

        Returns:
            float32 [N], 0 or more.
        """
        parts = np.array_split(rows, max(1, len(rows) // 1024))
        with one_blas_thread():
            return np.concatenate([self._measure(np, part, self.arrays) for part in parts])

    def scores(self, rows: Floats) -> Floats:
        """Computes unknown scores, float32 [N]: distances divided by the threshold."""
        return self.distances(rows) / np.float32(self.threshold)

    def with_threshold(self, threshold: float) -> Self:
        """Returns the scorer with another threshold."""
        return replace(self, threshold=threshold)

    def build_layer(self) -> Any:
        """Builds a Keras layer from features float32 [B, F] to unknown scores float32 [B]."""
        from keras import initializers, layers, ops

        scorer = self

        class UnknownScore(layers.Layer):
            """Unknown scores of pooled features; only in memory and in exported graphs."""

            def build(self, input_shape: Any) -> None:
                """Makes the arrays constant weights."""
                self.arrays = {
                    name: self.add_weight(
                        shape=array.shape,
                        initializer=initializers.Constant(array),
                        trainable=False,
                        name=name,
                    )
                    for name, array in scorer.arrays.items()
                }

            def call(self, rows: Any) -> Any:
                """Computes the scores."""
                return scorer._measure(ops, rows, self.arrays) / scorer.threshold

            def compute_output_shape(self, input_shape: Any) -> Any:
                """Returns the shape of one score an image."""
                return input_shape[:1]

        return UnknownScore(dtype="float32", name=UNKNOWN_SCORE)


@dataclass(frozen=True)
class MahalanobisScorer(UnknownScorer):
    """Distance to the nearest mean of a class, in units of the spread within classes.

    Args:
        center: float32 [F], what is subtracted from features, so that little is rounded.
        whitening: float32 [F, F]; W with W Wᵀ the inverse of the covariance within classes.
        means: float32 [C, F], of the classes, less the center and whitened.

    Reference: Lee et al., 2018, https://arxiv.org/abs/1807.03888
    """

    center: Floats
    whitening: Floats
    means: Floats

    @property
    def num_features(self) -> int:
        """F, the width of the features."""
        return len(self.center)

    @property
    def rounding(self) -> float:
        """What rounding to 32 bits may change in a score: squares of means are subtracted."""
        largest = float(np.square(self.means).sum(axis=1).max())
        return 1e-6 * (1 + largest / self.threshold**2)

    def _measure(self, ops: Any, rows: Any, weights: Mapping[str, Any]) -> Any:
        white = ops.matmul(rows - weights["center"], weights["whitening"])
        means = weights["means"]
        squares = ops.sum(ops.square(white), axis=1)[:, None] + ops.sum(ops.square(means), axis=1)
        products = ops.matmul(white, ops.transpose(means))
        return ops.sqrt(ops.maximum(ops.min(squares - 2 * products, axis=1), 0.0))


@dataclass(frozen=True)
class NeighborScorer(UnknownScorer):
    """Cosine distance, 0 to 2, to the k-th nearest of some known images.

    It is half the squared Euclidean distance of features of length 1, and unlike its root is
    exact for an image that is one of them.

    Args:
        bank: float32 [M, F], features of known images, each of length 1.
        num_neighbors: k, 1 to M.

    Reference: Sun et al., 2022, https://arxiv.org/abs/2204.06507
    """

    bank: Floats
    num_neighbors: int

    @property
    def num_features(self) -> int:
        """F, the width of the features."""
        return self.bank.shape[1]

    @property
    def rounding(self) -> float:
        """What rounding to 32 bits may change in a score: products of nearly 1 do so by 1e-6."""
        return 1e-6 / self.threshold

    def _measure(self, ops: Any, rows: Any, weights: Mapping[str, Any]) -> Any:
        lengths = ops.sqrt(ops.sum(ops.square(rows), axis=1))[:, None]
        products = ops.matmul(rows / ops.maximum(lengths, 1e-12), ops.transpose(weights["bank"]))
        k = self.num_neighbors
        # Of 2,000 products, sorting all of them takes longer than computing them.
        nearest = (
            np.partition(products, -k)[:, -k] if ops is np else ops.top_k(products, k)[0][:, -1]
        )
        return ops.maximum(1 - nearest, 0.0)


def unit_rows(rows: Floats) -> Floats:
    """Returns rows at length 1, float32 [N, F]; of zeros, zeros."""
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return (rows / np.maximum(lengths, 1e-12)).astype(np.float32)


def build_scored_model(classifier: Any, scorer: UnknownScorer) -> Any:
    """Builds a classifier with unknown scores beside its probabilities.

    Args:
        classifier: From `build_classifier`, or loaded from its file; it shares the weights.
        scorer: Of the features that its head reads.

    Returns:
        A `keras.Model` from images float32 [B, S, S, 3] in 0 to 255 to probabilities
        float32 [B, C] and scores float32 [B]; to be computed with, not to be saved.
    """
    import keras

    scores = scorer.build_layer()(pooled_features(classifier))
    return keras.Model(classifier.input, [classifier.output, scores], name="scored_classifier")
