"""Features that `zoo features` computed: copied into the store where training asks for them."""

from __future__ import annotations

import logging
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pipelines.features.engines.network import FeatureNetwork
from pipelines.features.shard_file import RowFormat
from pipelines.features.store import FeatureFolder
from pipelines.runtime.threads import map_in_order
from pipelines.sources.columns import KeyIndex
from pipelines.sources.places.place import Place, PlaceRecord, is_equal, open_record
from pipelines.sources.places.tables import ShardIndex, read_features, read_shard_index
from zoo.errors import DataError
from zoo.preprocessing import Preprocessing
from zoo.progress import track

logger = logging.getLogger(__name__)

_READERS = 8
"""Shards that are fetched at a time: what takes long is to wait for the storage."""


class PlacedFeatures:
    """The features of a place, those of the plain view.

    Args:
        data: The place.

    Raises:
        DataError: There are no features.
    """

    def __init__(self, data: str) -> None:
        self.place = Place(data)
        self.record: PlaceRecord = open_record(data)

    def why_not(self, network: FeatureNetwork, preprocessing: Preprocessing, engine: str) -> str:
        """Returns why these are not the features that a job needs; empty if they are.

        Args:
            network: What would compute them.
            preprocessing: How images would be fitted to it.
            engine: A row of ENGINES; empty leaves it open.
        """
        record = self.record
        if record.network != network.digest:
            return "another network computed them"
        if not is_equal(record.preprocessing, preprocessing.model_dump(mode="json")):
            return "other sections of the images were seen"
        return f"{record.engine} computed them" if engine and engine != record.engine else ""

    def copy_to(self, folder: FeatureFolder, digests: npt.NDArray[np.uint8], row: RowFormat) -> int:
        """Copies the shards that have features which a folder of the store lacks.

        Args:
            folder: Of the plain view.
            digests: SHA-256 of the images that are needed, uint8 [N, 32].
            row: What is stored of each image.

        Returns:
            The number of images copied.

        Raises:
            DataError: A shard is missing or damaged.
        """
        missing = digests[folder.locate(digests)[:, 0] < 0]
        if not len(missing):
            return 0
        index = self._index
        rows = KeyIndex(index.digests).find(missing)
        needed = [index.keys[shard] for shard in np.unique(index.shards[rows[rows >= 0]])]
        count = 0
        with track("reading features", len(needed), unit="shards") as progress:
            for found, features in map_in_order(self._read, needed, _READERS):
                folder.write(found, row.array(features))
                count += len(found)
                progress.advance(1)
        logger.info(f"{count:,} features from {self.place}")
        return count

    @cached_property
    def _index(self) -> ShardIndex:
        return read_shard_index(self.place)

    def _read(self, key: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        record = self.record
        table = self.place.read_shard(key, ["sha256", "problem", "features"])
        try:
            return read_features(table, (len(record.poolings), record.num_features))
        except (ValueError, AttributeError):
            raise DataError(
                f"a shard of {self.place}, {key}, has other features than its record says",
                mend="remove it, and run `zoo features` again: it computes what is missing",
            ) from None
