"""Extraction: every view of every image through the frozen backbone, once."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.augment.policies import AugmentConfig
from pipelines.features.config import FeatureConfig
from pipelines.features.engines.catalog import ENGINES
from pipelines.features.engines.choice import choose_engine, open_engine
from pipelines.features.engines.engine import Engine, pad_batch
from pipelines.features.engines.network import STORED_POOLINGS, FeatureNetwork
from pipelines.features.feature_array import FeatureArray
from pipelines.features.store import FeatureFolder, FeatureStore
from pipelines.input_pipeline.color_axes import fit_color_axes
from pipelines.input_pipeline.datasets import build_views_dataset
from pipelines.sources.source import Examples
from zoo.errors import DataError
from zoo.files import cache_folder
from zoo.preprocessing import Preprocessing

logger = logging.getLogger(__name__)

_FORMAT = 1
"""Raised when the same settings begin to mean other features."""

_SHARD_IMAGES = 512
"""Images a shard: how much an interruption costs at most."""

_SAMPLE_IMAGES = 16
_PROGRESS_S = 10.0


class Extractor:
    """Computes features that are not there yet, and finds those that are.

    Args:
        network: The frozen backbone.
        preprocessing: What an image goes through before it.
        augment: How augmented views vary.
        seed: Of the augmented views.
        config: Engine and space on disk.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        preprocessing: Preprocessing,
        augment: AugmentConfig,
        *,
        seed: int,
        config: FeatureConfig,
    ) -> None:
        self.network, self.preprocessing, self.augment = network, preprocessing, augment
        self.seed, self.config = seed, config
        folder = cache_folder() / "features"
        self.store = FeatureStore(folder, config.cache_gib * 2**30)
        self.networks = cache_folder() / "networks"
        self.engine_name = "" if config.engine == "auto" else config.engine
        self.extract_s = 0.0
        self.num_computed = 0
        self._engine: Engine | None = None
        self._folders: dict[int, FeatureFolder] = {}
        self._axes: npt.NDArray[np.float32] | None = None

    def extract(self, examples: Examples, num_views: int) -> FeatureArray:
        """Returns the features of images, in the plain view and in augmented ones.

        Args:
            examples: Scanned, so that their digests are known.
            num_views: How many augmented views of each image, beside the plain one.

        Raises:
            DataError: An image is no longer what it was when it was scanned.
            EngineError: The engine asked for cannot run the network.
        """
        started = time.perf_counter()
        views = range(num_views + 1)
        if num_views and self._axes is None and self.augment.needs_color_axes:
            # Augmented views are those of training images, which this is fitted on.
            self._axes = fit_color_axes(examples)
        if not self.engine_name:
            self.engine_name, self._engine = choose_engine(
                ENGINES,
                self.network,
                lambda: self._sample(examples),
                len(examples) * len(views),
                self.networks,
            )
        for view in views:
            if view not in self._folders:
                self._folders[view] = self.store.open(self._key(view), self.network.num_features)
        missing = self._missing(examples, views)
        if missing:
            count = sum(len(lacking) * len(images) for lacking, images in missing.items())
            logger.info(f"computing features: {count} views by {self.engine_name}")
            for lacking, images in missing.items():
                self._compute(examples.take(images), lacking)
            self.num_computed += count
            if self.store.evict(self._folders.values()):
                logger.info(f"removed old features: all take at most {self.config.cache_gib:g} GiB")
        found = FeatureArray([self._folders[view] for view in views], examples.digests)
        self.extract_s += time.perf_counter() - started
        return found

    def _key(self, view: int) -> dict[str, Any]:
        key: dict[str, Any] = {
            "format": _FORMAT,
            "network": self.network.digest,
            "engine": self.engine_name,
            "preprocessing": self.preprocessing.model_dump(mode="json"),
        }
        if view:
            augment = self.augment.model_dump(mode="json")
            key |= {"augment": augment, "seed": self.seed, "view": view}
            if self._axes is not None:
                key["axes"] = self._axes.tolist()
        return key

    def _missing(
        self, examples: Examples, views: Sequence[int]
    ) -> dict[tuple[int, ...], list[int]]:
        """Which views lack which images; an image that occurs twice is computed once."""
        first = {digest: i for i, digest in reversed(list(enumerate(examples.digests)))}
        missing: dict[tuple[int, ...], list[int]] = {}
        for digest, index in sorted(first.items(), key=lambda item: item[1]):
            lacking = tuple(view for view in views if digest not in self._folders[view])
            if lacking:
                missing.setdefault(lacking, []).append(index)
        return missing

    def _compute(self, examples: Examples, views: tuple[int, ...]) -> None:
        """Computes views of images, and writes a shard of each view for every few hundred."""
        engine = self._open_engine(examples)
        dataset = self._dataset(examples, views, engine.batch_size)
        total, started, said = len(examples) * len(views), time.perf_counter(), time.perf_counter()
        shape = (len(STORED_POOLINGS), self.network.num_features)
        shard = np.empty((_SHARD_IMAGES * len(views), *shape), np.float32)
        done = written = held = 0
        for rows in _run(engine, dataset.as_numpy_iterator()):
            done += len(rows)
            while len(rows):
                images = min(_SHARD_IMAGES, len(examples) - written)
                taken = min(len(rows), images * len(views) - held)
                shard[held : held + taken] = rows[:taken]
                rows, held = rows[taken:], held + taken
                if held == images * len(views):
                    part = examples.take(range(written, written + images))
                    self._write(part, views, shard[:held])
                    written, held = written + images, 0
            if (now := time.perf_counter()) - said > _PROGRESS_S:
                said, rate = now, done / (now - started)
                logger.info(
                    f"features: {done} of {total}, {rate:.0f}/s, {(total - done) / rate:.0f} s left"
                )

    def _write(
        self, examples: Examples, views: tuple[int, ...], rows: npt.NDArray[np.float32]
    ) -> None:
        for index, digest in enumerate(examples.digests):
            # What is kept under a digest has to be of the bytes it is the digest of.
            if hashlib.sha256(examples.read(index)).hexdigest() != digest:
                raise DataError(
                    f"{examples.names[index]} changed while the job ran",
                    expected="the file that was scanned",
                    mend="start again",
                )
        by_view = rows.reshape(len(examples), len(views), *rows.shape[1:])
        for place, view in enumerate(views):
            self._folders[view].write(examples.digests, by_view[:, place])

    def _dataset(self, examples: Examples, views: Sequence[int], batch_size: int) -> Any:
        # An image's own number, so that its views stay its views in other company.
        numbers = [int(digest[:15], 16) for digest in examples.digests]
        return build_views_dataset(
            examples,
            self.preprocessing,
            self.augment,
            seed=self.seed,
            views=views,
            batch_size=batch_size,
            image_keys=np.array(numbers, np.int64),
            axes=self._axes,
        )

    def _sample(self, examples: Examples) -> npt.NDArray[np.uint8]:
        some = examples.take(range(min(len(examples), _SAMPLE_IMAGES)))
        (images,) = self._dataset(some, [0], _SAMPLE_IMAGES).as_numpy_iterator()
        return np.asarray(images)

    def _open_engine(self, examples: Examples) -> Engine:
        if self._engine is None:
            row, sample = ENGINES[self.engine_name], self._sample(examples)
            self._engine = open_engine(row, self.network, sample, self.networks)
        return self._engine


def _run(
    engine: Engine, batches: Iterator[npt.NDArray[np.uint8]]
) -> Iterator[npt.NDArray[np.float32]]:
    """Runs batches in as many threads as the engine likes; yields their features in order."""

    def call(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return engine(pad_batch(images, engine.batch_size))[: len(images)]

    running: deque[Future[npt.NDArray[np.float32]]] = deque()
    with ThreadPoolExecutor(engine.num_callers) as pool:
        try:
            for images in batches:
                running.append(pool.submit(call, images))
                # One waits for each that runs, so that no thread ever does.
                if len(running) >= 2 * engine.num_callers:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()
