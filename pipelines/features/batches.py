"""Rows: the features of a division as a population of heads is trained on them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from pipelines.features.datasets import view_indices
from pipelines.features.feature_array import FeatureArray
from pipelines.input_pipeline.order import SampleOrder
from pipelines.sources.source import Examples
from tuning.batched_heads.trainer import Batches

# Enough rows for a step to be worth its call; of validation, whose rows every head of a
# stack gets a copy of, few enough to stay in the cache.
_TRAIN_BYTES = 32 * 2**20
_VALIDATION_BYTES = 2**19


class FeatureBatches:
    """The batches `build_feature_stream` gives, and the rows of validation.

    Args:
        features: Of the training images, in all their views.
        train: Those images.
        val_features: Of the validation images.
        val: Those images.
        pooling: The heads', a row of `zoo.heads.head.POOLINGS`.
        order: Which image stands where.
        num_classes: C.
    """

    def __init__(
        self,
        features: FeatureArray,
        train: Examples,
        val_features: FeatureArray,
        val: Examples,
        pooling: str,
        order: SampleOrder,
        num_classes: int,
    ) -> None:
        self._features, self._train = features, train
        self._val_features, self._val = val_features, val
        self._pooling, self._order = pooling, order
        self.num_features, self.num_classes = features.width(pooling), num_classes
        self.steps_per_epoch = order.steps_per_epoch
        # Every stack goes through the same epochs.
        self._places = lru_cache(maxsize=64)(self._draw_places)

    def train(self, epoch: int) -> Iterator[Batches]:
        """Yields the batches of an epoch, a few steps at a time."""
        indices, views, shares = self._places(epoch)
        count = max(1, _TRAIN_BYTES // (4 * self.num_features * self._order.batch_size))
        for first in range(0, len(indices), count):
            some = indices[first : first + count]
            rows = self._features.read(
                self._pooling, some.ravel(), views[first : first + count].ravel()
            )
            yield Batches(
                rows.reshape(*some.shape, -1),
                self._train.labels[some],
                shares[first : first + count],
            )

    def validation(self) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]]:
        """Yields features float32 [n, F] and labels int64 [n], all rows once."""
        count = max(1, _VALIDATION_BYTES // (4 * self.num_features))
        for first in range(0, len(self._val), count):
            some = np.arange(first, min(first + count, len(self._val)))
            yield self._val_features.read(self._pooling, some), self._val.labels[some]

    def _draw_places(
        self, epoch: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Which image in which view stands in each batch, and what it counts, all [S, B]."""
        steps, batch = self._order.steps_per_epoch, self._order.batch_size
        first = epoch * steps * batch
        keys = self._order.sample_keys(np.arange(first, first + steps * batch, dtype=np.int64))
        views = view_indices(keys, self._features.num_views, self._order.seed)
        indices, views, shares = (
            np.asarray(part).reshape(steps, batch)
            for part in (keys.image_indices, views, keys.weights)
        )
        return indices, views, shares
