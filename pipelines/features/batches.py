"""NumPy batches of features, which `tuning.batched_heads` trains and validates heads on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from pipelines.features.datasets import view_indices
from pipelines.features.feature_array import FeatureArray
from pipelines.input_pipeline.order import SampleOrder
from pipelines.sources.source import Examples
from tuning.batched_heads.trainer import Batches
from zoo.models.standardization import Standardization

# Large enough to amortize a call of the training step.
_TRAIN_CHUNK_BYTES = 32 * 2**20
# Standardized rows that are kept while a stack of heads trains on them.
_MOST_HELD_BYTES = 128 * 2**20
# Small enough to stay in the CPU's cache: each head of a stack reads a copy of its own.
_VALIDATION_CHUNK_BYTES = 2**19


class FeatureBatches:
    """The batches of `build_feature_stream`, in chunks of several steps, and validation rows.

    Args:
        features: Features of the training split, in all views.
        train: The training split.
        val_features: Features of the validation split.
        val: The validation split.
        pooling: The heads' pooling, a row of `zoo.heads.head.POOLINGS`.
        order: Order of the images and size of a batch.
        num_classes: C.
        standardize: Whether features are standardized by the plain training images.
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
        *,
        standardize: bool = True,
    ) -> None:
        self._features, self._train = features, train
        self._val_features, self._val = val_features, val
        self._pooling, self._order = pooling, order
        self._statistics = (
            Standardization.fit_blocks(lambda: features.read_blocks(pooling))
            if standardize
            else None
        )
        self.num_features, self.num_classes = features.width(pooling), num_classes
        self.steps_per_epoch, self.batch_size = order.steps_per_epoch, order.batch_size
        self.num_validated = len(val)
        self._held: npt.NDArray[np.float32] | None = None
        # Every stack of heads asks for the same epochs.
        self._cached_epoch = lru_cache(maxsize=64)(self._sample_epoch)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds standardized rows in memory for many epochs, up to 128 MiB; the same numbers."""
        if 4 * self._features.num_views * len(self._train) * self.num_features <= _MOST_HELD_BYTES:
            views = self._features.read_views(self._pooling)
            # float32 [V, N, F]
            self._held = views if self._statistics is None else self._statistics.apply(views)
        try:
            yield
        finally:
            self._held = None

    def train(self, epoch: int) -> Iterator[Batches]:
        """Yields the batches of an epoch, several steps at a time."""
        images, views, weights = self._cached_epoch(epoch)
        step_bytes = 4 * self.num_features * self._order.batch_size
        chunk_steps = max(1, _TRAIN_CHUNK_BYTES // step_bytes)
        for first in range(0, len(images), chunk_steps):
            steps = slice(first, first + chunk_steps)
            if self._held is not None:
                rows = self._held[views[steps].ravel(), images[steps].ravel()]
            else:
                rows = self._read(self._features, images[steps].ravel(), views[steps].ravel())
            yield Batches(
                rows.reshape(*images[steps].shape, -1),
                self._train.labels[images[steps]],
                weights[steps],
            )

    def validation(self) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]]:
        """Yields features float32 [n, F] and labels int64 [n]; each image once, in order."""
        chunk_rows = max(1, _VALIDATION_CHUNK_BYTES // (4 * self.num_features))
        for first in range(0, len(self._val), chunk_rows):
            images = np.arange(first, min(first + chunk_rows, len(self._val)))
            yield self._read(self._val_features, images, 0), self._val.labels[images]

    def _read(
        self,
        features: FeatureArray,
        images: npt.NDArray[np.int64],
        views: npt.NDArray[np.int64] | int,
    ) -> npt.NDArray[np.float32]:
        rows = features.read(self._pooling, images, views)
        return rows if self._statistics is None else self._statistics.apply(rows)

    def _sample_epoch(
        self, epoch: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Returns the image, the view and the weight of each sample of an epoch, all [S, B]."""
        shape = (self._order.steps_per_epoch, self._order.batch_size)
        size = shape[0] * shape[1]
        positions = np.arange(epoch * size, (epoch + 1) * size, dtype=np.int64)
        keys = self._order.sample_keys(positions)
        views = view_indices(keys, self._features.num_views, self._order.seed)
        images, views, weights = (
            np.asarray(part).reshape(shape) for part in (keys.image_indices, views, keys.weights)
        )
        return images, views, weights
