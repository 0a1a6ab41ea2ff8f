"""Feature store: memory-mapped shards of features on disk, under a key of all they depend on.

    STORE/<key>/key.json      the key: JSON whose digest names the folder
    STORE/<key>/<name>.npy    a shard: digests of some images, and their features

Images are looked up by the SHA-256 of their file, so features survive renamed files and
new splits, and only the images added since have to be computed. A shard is written
atomically and never changed: a job that was killed leaves its complete shards to the next
one, and jobs that run at the same time cannot corrupt each other's features.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.sources.columns import KeyIndex
from zoo.files import replacing, write_json

logger = logging.getLogger(__name__)

_PARTIAL_FILE_AGE_S = 6 * 3600
"""Age from which a partial file counts as abandoned by its writer."""


class FeatureFolder:
    """The shards of one key: features of any number of images in one view.

    Args:
        path: The folder of the shards.
        num_features: F, channels of each pooling.
    """

    def __init__(self, path: Path, num_features: int) -> None:
        self.path = path
        self.num_features = num_features
        self.shards: list[npt.NDArray[np.float32]] = []
        # uint8 [rows of the shard, 32] of each shard
        self._digests: list[npt.NDArray[np.uint8]] = []
        for file in sorted(path.glob("[!.]*.npy")):
            self._open(file)

    @property
    def digests(self) -> npt.NDArray[np.uint8]:
        """SHA-256 of the images, uint8 [N, 32]."""
        return np.concatenate([np.empty((0, 32), np.uint8), *self._digests])

    def locate(self, digests: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        """Returns where the features of images are.

        Args:
            digests: SHA-256 of N images, uint8 [N, 32].

        Returns:
            int64 [N, 2]: index into `shards`, row of that shard; -1 where there are none.
        """
        rows = KeyIndex(self.digests).find(digests)
        ends = np.cumsum([len(part) for part in self._digests], dtype=np.int64)
        shards = np.searchsorted(ends, rows, side="right")
        starts = np.concatenate([[0], ends])
        located = np.stack([shards, rows - starts[shards]], axis=1)
        located[rows < 0] = -1
        return located

    def write(self, digests: npt.NDArray[np.uint8], features: npt.NDArray[np.float32]) -> None:
        """Writes a shard.

        Args:
            digests: SHA-256 of n images, uint8 [n, 32].
            features: float32 [n, 2, F], in the order of STORED_POOLINGS.
        """
        name = hashlib.sha256(digests.tobytes().hex().encode()).hexdigest()[:32]
        shard = np.empty(1, _shard_dtype(len(digests), self.num_features))
        shard["images"], shard["features"] = digests, features
        file = self.path / f"{name}.npy"
        try:
            with replacing(file) as temporary:
                np.save(temporary, shard, allow_pickle=False)
        except OSError as error:
            logger.warning(f"{error}; its features are kept in memory, for this job alone")
            self._add(np.array(digests), np.array(features, np.float32))
            return
        self._open(file)

    def _open(self, file: Path) -> None:
        try:
            shard = np.load(file, mmap_mode="r", allow_pickle=False)
            digests, features = shard["images"][0], shard["features"][0]
            if features.shape != (len(digests), 2, self.num_features):
                raise ValueError(f"features of shape {features.shape}")
        except (OSError, EOFError, ValueError, IndexError, KeyError):
            # Damaged, or removed by another job: its features are computed again.
            file.unlink(missing_ok=True)
            return
        with contextlib.suppress(OSError):
            os.utime(file)  # eviction goes by the time of last use
        self._add(np.array(digests), features)

    def _add(self, digests: npt.NDArray[np.uint8], features: npt.NDArray[np.float32]) -> None:
        self.shards.append(features)
        self._digests.append(digests)


class FeatureStore:
    """All features kept on this machine.

    Args:
        path: The folder that holds them.
        limit_bytes: Disk space that eviction leaves them.
    """

    def __init__(self, path: Path, limit_bytes: float) -> None:
        self.path = path
        self.limit_bytes = limit_bytes

    def open(self, key: Mapping[str, Any], num_features: int) -> FeatureFolder:
        """Opens the features of a key, and creates their folder if there is none.

        Args:
            key: JSON values: everything the features depend on except the images.
            num_features: F, channels of each pooling.
        """
        text = json.dumps(key, sort_keys=True)
        path = self.path / hashlib.sha256(text.encode()).hexdigest()[:32]
        if not (path / "key.json").exists():
            with contextlib.suppress(OSError):  # the first shard says that the disk is full
                write_json(path / "key.json", key)
        return FeatureFolder(path, num_features)

    def evict(self, protected: Iterable[FeatureFolder]) -> int:
        """Removes the least recently used shards until the rest fits the limit.

        Args:
            protected: Folders whose shards stay, however large they are.

        Returns:
            Bytes removed.
        """
        protected_paths = {folder.path for folder in protected}
        self._remove_abandoned_files()
        files = []
        for file in self.path.glob("*/[!.]*.npy"):
            with contextlib.suppress(OSError):  # removed by another job meanwhile
                stat = file.stat()
                files.append((stat.st_mtime_ns, stat.st_size, file))
        total, removed = sum(size for _, size, _ in files), 0
        for _, size, file in sorted(files):
            if total - removed <= self.limit_bytes:
                break
            if file.parent not in protected_paths:
                file.unlink(missing_ok=True)
                removed += size
        for folder in {file.parent for _, _, file in files} - protected_paths:
            if not any(folder.glob("*.npy")):
                (folder / "key.json").unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # another job is writing to it
                    folder.rmdir()
        return removed

    def _remove_abandoned_files(self) -> None:
        """Removes partial files that killed jobs left hours ago."""
        for file in self.path.glob("*/.*.npy"):
            with contextlib.suppress(OSError):
                if time.time() - file.stat().st_mtime > _PARTIAL_FILE_AGE_S:
                    file.unlink()


def _shard_dtype(num_images: int, num_features: int) -> np.dtype[np.void]:
    # One record, all digests before all features: looking an image up reads no features.
    return np.dtype(
        [("images", "u1", (num_images, 32)), ("features", "<f4", (num_images, 2, num_features))]
    )
