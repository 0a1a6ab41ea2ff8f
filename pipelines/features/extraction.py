"""Feature extraction: runs the frozen backbone once on every view of every image."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.augment.policies import AugmentConfig
from pipelines.features.config import FeatureConfig
from pipelines.features.engines.catalog import ENGINES
from pipelines.features.engines.choice import choose_engine
from pipelines.features.engines.engine import Engine, pad_batch
from pipelines.features.engines.network import FeatureNetwork
from pipelines.features.engines.opening import open_engine
from pipelines.features.feature_array import FeatureArray
from pipelines.features.placed import PlacedFeatures
from pipelines.features.shard_file import RowFormat
from pipelines.features.store import FeatureFolder, FeatureStore
from pipelines.input_pipeline.color_axes import fit_color_axes
from pipelines.input_pipeline.datasets import build_views_dataset
from pipelines.runtime.threads import map_in_order
from pipelines.sources.columns import Files, sortable
from pipelines.sources.scanning.changes import find_changed
from pipelines.sources.scanning.ledger import stat_files
from pipelines.sources.source import Examples
from zoo.errors import DataError, WeightsError
from zoo.files import cache_folder
from zoo.preprocessing import Preprocessing
from zoo.progress import track

logger = logging.getLogger(__name__)

_FORMAT = 4
"""Part of every key; incremented when the same settings yield different features, or a shard
is laid out otherwise."""

_SHARD_IMAGES = 512
"""Images per shard, at most: an interruption loses at most one shard of each view."""

_SHARD_BYTES = 128 * 2**20
"""Bytes of the shards that are computed at the same time, about."""


class Extractor:
    """Returns features from the store, after computing those that it lacks.

    Args:
        network: The frozen backbone.
        preprocessing: How images are fitted to the network's input size.
        augment: Augmentation policy of the augmented views.
        seed: Seed of the augmented views.
        config: Inference engine and disk space.
        placed: Features of the plain view that are there already, if they are the network's; None
            if there are none.

    Attributes:
        engine_name: The engine that runs the network; empty before one is chosen.
        extract_s: Seconds spent in `extract`.
        num_computed: Views computed rather than found in the store.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        preprocessing: Preprocessing,
        augment: AugmentConfig,
        *,
        seed: int,
        config: FeatureConfig,
        placed: PlacedFeatures | None = None,
    ) -> None:
        self.network, self.preprocessing, self.augment = network, preprocessing, augment
        self.seed, self.config = seed, config
        self.store = FeatureStore(cache_folder() / "features", config.cache_gib * 2**30)
        self.network_folder = cache_folder() / "networks"
        self.row = RowFormat((len(network.poolings), network.num_features), network.dtype)
        self.engine_name = "" if config.engine_is_open else config.engine
        self._placed = self._check_placed(placed)
        self.extract_s = 0.0
        self.num_computed = 0
        self._engine: Engine | None = None
        self._folders: dict[int, FeatureFolder] = {}
        self._axes: npt.NDArray[np.float32] | None = None

    def extract(self, examples: Examples, num_views: int) -> FeatureArray:
        """Returns the features of images, in the plain view and in augmented ones.

        Args:
            examples: Scanned, with `digests`.
            num_views: Augmented views per image, in addition to the plain one.

        Raises:
            DataError: An image file changed after it was scanned.
            EngineError: The engine cannot run the network, or disagrees with Keras.
            RecipeError: The engine is not installed.
            WeightsError: A feature is infinite or not a number.
        """
        started = time.perf_counter()
        views = range(num_views + 1)
        if num_views and self._axes is None and self.augment.needs_color_axes:
            # Only the training split is augmented, so the axes are fitted to it.
            decoder = self.preprocessing.build_decoder(self.augment.smallest_view)
            self._axes = fit_color_axes(examples, decoder)
        self.choose_engine(len(examples) * len(views))
        for view in views:
            if view not in self._folders:
                self._folders[view] = self.store.open(self._key(view), self.row)
        if self._placed:
            self._placed.copy_to(self._folders[0], examples.binary_digests, self.row)
        missing = self._missing(examples, views)
        if missing:
            count = sum(len(missing_views) * len(images) for missing_views, images in missing)
            self._check_present(examples, missing)
            logger.info(f"computing features: {count} views by {self.engine_name}")
            for missing_views, images in missing:
                self._compute(examples.take(images), missing_views)
            self.num_computed += count
            if self.store.evict(self._folders.values()):
                limit = f"{self.config.cache_gib:g} GiB"
                logger.info(f"removed old features to keep the store within {limit}")
        folders = [self._folders[view] for view in views]
        features = FeatureArray(folders, examples.binary_digests, self.network.poolings)
        self.extract_s += time.perf_counter() - started
        return features

    def choose_engine(self, num_views: int) -> str:
        """Chooses what runs the network, unless that is settled; returns its name.

        Args:
            num_views: Views to compute; only a race of engines looks at it.

        Raises:
            EngineError: The machine fails, not an engine.
        """
        if not self.engine_name:
            folder = self.network_folder
            self.engine_name, self._engine = choose_engine(
                self.config.engine, ENGINES, self.network, num_views, folder
            )
        return self.engine_name

    def compute(self, examples: Examples) -> npt.NDArray[np.float32]:
        """Computes the features of images in the plain view, whatever the store holds.

        Args:
            examples: Scanned, with `digests`; n images.

        Returns:
            float32 [n, P, F]. The store is left as it is.

        Raises:
            EngineError: The engine cannot run the network, or disagrees with Keras.
            WeightsError: A feature is infinite or not a number.
        """
        if not len(examples):
            return np.empty((0, *self.row.shape), np.float32)
        self.choose_engine(len(examples))
        engine = self.open_engine()
        dataset = self._dataset(examples, (0,), engine.batch_size)
        rows = np.concatenate(list(_run(engine, dataset.as_numpy_iterator())))
        self._check_finite(examples, rows[:, np.newaxis])
        return rows

    def _check_placed(self, placed: PlacedFeatures | None) -> PlacedFeatures | None:
        """Returns features that are there, and takes their engine, if they are the network's."""
        if placed is None:
            return None
        if why := placed.why_not(self.network, self.preprocessing, self.engine_name):
            logger.info(f"the features of {placed.place} are not used: {why}")
            return None
        self.engine_name = placed.record.engine
        return placed

    def _key(self, view: int) -> dict[str, Any]:
        """Returns all that the features of a view depend on except the images."""
        key: dict[str, Any] = {
            "format": _FORMAT,
            "network": self.network.digest,
            "engine": self.engine_name,
            "platform": self._platform,
            "preprocessing": self.preprocessing.model_dump(mode="json"),
        }
        if self.row.dtype != "float32":
            key["dtype"] = self.row.dtype
        if view:
            augment = self.augment.model_dump(mode="json")
            key |= {"augment": augment, "seed": self.seed, "view": view}
            if self._axes is not None:
                key["axes"] = self._axes.tolist()
        return key

    @property
    def _platform(self) -> str:
        """Library and processor, as the engine names them; those of features that are there."""
        return (
            self._placed.record.platform if self._placed else ENGINES[self.engine_name].platform()
        )

    def _missing(
        self, examples: Examples, views: Sequence[int]
    ) -> list[tuple[tuple[int, ...], npt.NDArray[np.int64]]]:
        """Returns pairs of views and the indices of the images that lack exactly these views."""
        digests = examples.binary_digests
        # Of images with the same bytes, the first stands for all.
        first = np.sort(np.unique(sortable(digests), return_index=True)[1])
        # [N, V]
        lacks = np.stack(
            [self._folders[view].locate(digests[first])[:, 0] < 0 for view in views], axis=1
        )
        patterns, starts, groups = np.unique(lacks, axis=0, return_index=True, return_inverse=True)
        return [
            (tuple(np.array(views)[patterns[group]].tolist()), first[groups.ravel() == group])
            for group in np.argsort(starts)
            if patterns[group].any()
        ]

    def _check_present(
        self, examples: Examples, missing: list[tuple[tuple[int, ...], npt.NDArray[np.int64]]]
    ) -> None:
        """Checks that the files of images whose features are computed are there.

        Raises:
            DataError: One is not.
        """
        if examples.files is None:
            return
        for views, images in missing:
            stats = stat_files(Files.of(examples.files).take(images))
            absent = images[stats["size"] < 0]
            if len(absent):
                only_views = self._placed is not None and 0 not in views
                raise DataError(
                    f"{examples.names[int(absent[0])]} is not there, nor its features"
                    + (" in augmented views" if only_views else ""),
                    received=f"{len(absent)} images without a file",
                    mend="augment.policy=none" if only_views else "put it back, or start again",
                )

    def _compute(self, examples: Examples, views: tuple[int, ...]) -> None:
        """Computes views of images; writes a shard per view for every so many images."""
        engine = self.open_engine()
        dataset = self._dataset(examples, views, engine.batch_size)
        most = _SHARD_BYTES // (len(views) * self.row.num_bytes)
        most = min(max(most, 1), _SHARD_IMAGES, len(examples))
        # [views of the shard's images, P, F], in the order of the dataset.
        buffer = np.empty((most * len(views), *self.row.shape), self.row.dtype)
        num_written = num_buffered = 0
        with track("features", len(examples) * len(views), unit="views") as progress:
            for rows in _run(engine, dataset.as_numpy_iterator()):
                num_done = len(rows)
                while len(rows):
                    shard_images = min(most, len(examples) - num_written)
                    shard_rows = shard_images * len(views)
                    taken = min(len(rows), shard_rows - num_buffered)
                    buffer[num_buffered : num_buffered + taken] = self.row.array(rows[:taken])
                    rows, num_buffered = rows[taken:], num_buffered + taken
                    if num_buffered == shard_rows:
                        shard = examples.take(range(num_written, num_written + shard_images))
                        self._write(shard, views, buffer[:shard_rows])
                        num_written, num_buffered = num_written + shard_images, 0
                progress.advance(num_done)

    def _write(self, examples: Examples, views: tuple[int, ...], rows: npt.NDArray[Any]) -> None:
        """Writes a shard of each view, after checking it and that the files are the scanned ones.

        Args:
            examples: The n images of the shard.
            views: V views.
            rows: [n × V, P, F], all views of the first image first.
        """
        if (index := find_changed(examples)) is not None:
            raise DataError(
                f"{examples.names[index]} changed while the job ran",
                expected="the file that was scanned",
                mend="start again",
            )
        by_view = rows.reshape(len(examples), len(views), *rows.shape[1:])
        self._check_finite(examples, by_view)
        for column, view in enumerate(views):
            self._folders[view].write(examples.binary_digests, self.row.array(by_view[:, column]))

    def _check_finite(self, examples: Examples, by_view: npt.NDArray[Any]) -> None:
        """Checks features [n, V, P, F].

        Raises:
            WeightsError: One is infinite or not a number.
        """
        if np.isfinite(by_view).all():
            return
        index, *at = np.argwhere(~np.isfinite(by_view))[0]
        raise WeightsError(
            f"the backbone's features of {examples.names[index]} are not finite",
            expected="numbers",
            received=str(by_view[index, *at]),
            mend="choose other weights, backbone.name"
            + (", or fine_tune.maps=float32" if self.row.dtype == "float16" else ""),
        )

    def _dataset(self, examples: Examples, views: Sequence[int], batch_size: int) -> Any:
        # Keys made of the file's digest, so that an image has the same views in any split.
        first_bytes = np.ascontiguousarray(examples.binary_digests[:, :8])
        image_keys = (first_bytes.view(">u8")[:, 0] >> 4).astype(np.int64)  # 60 bits
        return build_views_dataset(
            examples,
            self.preprocessing,
            self.augment,
            seed=self.seed,
            views=views,
            batch_size=batch_size,
            image_keys=image_keys,
            axes=self._axes,
        )

    def open_engine(self) -> Engine:
        """Returns the engine that computes features, once `extract` has chosen it."""
        if self._engine is None:
            row = ENGINES[self.engine_name]
            self._engine = open_engine(row, self.network, self.network_folder)
        return self._engine


def _run(
    engine: Engine, batches: Iterator[npt.NDArray[np.uint8]]
) -> Iterator[npt.NDArray[np.float32]]:
    """Runs batches in `engine.num_callers` threads; yields their features in order."""

    def call(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return engine(pad_batch(images, engine.batch_size))[: len(images)]

    return map_in_order(call, batches, engine.num_callers)
