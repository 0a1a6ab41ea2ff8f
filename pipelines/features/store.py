"""Feature store: memory-mapped shards of features on disk, under a key of all they depend on.

    STORE/<key>/key.json          the key: JSON whose digest names the folder
    STORE/<key>/<name>.features   a shard: digests of some images, and their features

Images are looked up by the SHA-256 of their file, so features survive renamed files and
new splits, and only the images added since have to be computed. A shard is written
atomically and never changed: a job that was killed leaves its complete shards to the next
one, and jobs that run at the same time cannot corrupt each other's features. A shard is
verified when a job first reads it, and computed again where it is damaged.
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

from pipelines.features.shard_file import RowFormat, Shard, write_shard
from pipelines.sources.columns import KeyIndex
from zoo.files import write_json
from zoo.printable import printable

logger = logging.getLogger(__name__)

_SUFFIX = ".features"
_KEY_FILE = "key.json"

_PARTIAL_FILE_AGE_S = 6 * 3600
"""Age from which a partial file counts as abandoned by its writer."""


class FeatureFolder:
    """The shards of one key: features of any number of images in one view.

    Args:
        path: The folder of the shards.
        row: What is stored of each image.
    """

    def __init__(self, path: Path, row: RowFormat) -> None:
        self.path, self.row = path, row
        self.shards: list[Shard] = []
        for file in sorted(path.glob(f"[!.]*{_SUFFIX}")):
            try:
                self.shards.append(Shard.open(file, row))
            except (OSError, ValueError) as error:
                _discard(file, error)
                continue
            with contextlib.suppress(OSError):
                os.utime(file)  # eviction goes by the time of last use

    @property
    def digests(self) -> npt.NDArray[np.uint8]:
        """SHA-256 of the images, uint8 [N, 32]."""
        return np.concatenate([np.empty((0, 32), np.uint8), *(s.digests for s in self.shards)])

    def locate(self, digests: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        """Returns where the features of images are, once their shards are verified.

        Args:
            digests: SHA-256 of N images, uint8 [N, 32].

        Returns:
            int64 [N, 2]: index into `shards`, row of that shard; -1 where there are none.
        """
        while True:
            located = self._locate(digests)
            damaged = [i for i in np.unique(located[:, 0]) if i >= 0 and not self._load(i)]
            if not damaged:
                return located
            # Another shard may have the same images.
            self.shards = [s for i, s in enumerate(self.shards) if i not in damaged]

    def write(self, digests: npt.NDArray[np.uint8], features: npt.NDArray[Any]) -> None:
        """Writes a shard; keeps it in memory where the disk does not take it.

        Args:
            digests: SHA-256 of n images, uint8 [n, 32].
            features: [n, P, F], of `RowFormat.array`.
        """
        name = hashlib.sha256(digests.tobytes().hex().encode()).hexdigest()[:32]
        file = self.path / f"{name}{_SUFFIX}"
        try:
            write_shard(file, digests, features)
            shard = Shard.open(file, self.row)
            shard.load()
        except (OSError, ValueError) as error:
            logger.warning(
                f"{printable(str(error))}; its features are kept in memory, for this job alone"
            )
            shard = Shard(np.array(digests), self.row, np.array(features))
        self.shards.append(shard)

    def _locate(self, digests: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        rows = KeyIndex(self.digests).find(digests)
        ends = np.cumsum([len(shard.digests) for shard in self.shards], dtype=np.int64)
        shards = np.searchsorted(ends, rows, side="right")
        starts = np.concatenate([[0], ends])
        located = np.stack([shards, rows - starts[shards]], axis=1)
        located[rows < 0] = -1
        return located

    def _load(self, index: int) -> bool:
        """Loads a shard; returns whether it is whole, and removes it if it is not."""
        shard = self.shards[index]
        try:
            shard.load()
        except (OSError, ValueError) as error:
            _discard(shard.file, error)
            return False
        return True


def _discard(file: Path | None, error: Exception) -> None:
    """Removes a shard that cannot be used: its features are computed again."""
    if file is None or isinstance(error, FileNotFoundError):  # another job has removed it
        return
    logger.warning(
        f"{printable(str(file))} cannot be used: {printable(str(error))}; "
        "its features are computed again"
    )
    with contextlib.suppress(OSError):
        file.unlink()


class FeatureStore:
    """All features kept on this machine.

    Args:
        path: The folder that holds them.
        limit_bytes: Disk space that eviction leaves them.
    """

    def __init__(self, path: Path, limit_bytes: float) -> None:
        self.path = path
        self.limit_bytes = limit_bytes

    def open(self, key: Mapping[str, Any], row: RowFormat) -> FeatureFolder:
        """Opens the features of a key, and creates their folder if there is none.

        Args:
            key: JSON values: everything the features depend on except the images.
            row: What is stored of each image.
        """
        text = json.dumps(key, sort_keys=True)
        path = self.path / hashlib.sha256(text.encode()).hexdigest()[:32]
        if not (path / _KEY_FILE).exists():
            with contextlib.suppress(OSError):  # the first shard says that the disk is full
                write_json(path / _KEY_FILE, key)
        return FeatureFolder(path, row)

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
        for file in self.path.glob("*/[!.]*"):  # also shards of earlier formats
            if file.name == _KEY_FILE:
                continue
            with contextlib.suppress(OSError):  # removed by another job meanwhile
                stat = file.stat()
                files.append((stat.st_mtime_ns, stat.st_size, file))
        total, removed = sum(size for _, size, _ in files), 0
        for _, size, file in sorted(files):
            if total - removed <= self.limit_bytes:
                break
            if file.parent not in protected_paths:
                with contextlib.suppress(OSError):
                    file.unlink(missing_ok=True)
                    removed += size
        for folder in {file.parent for _, _, file in files} - protected_paths:
            if not any(file.name != _KEY_FILE for file in folder.glob("*")):
                with contextlib.suppress(OSError):  # another job is writing to it
                    (folder / _KEY_FILE).unlink(missing_ok=True)
                    folder.rmdir()
        return removed

    def _remove_abandoned_files(self) -> None:
        """Removes partial files that killed jobs left hours ago."""
        for file in self.path.glob("*/.*"):
            with contextlib.suppress(OSError):
                if time.time() - file.stat().st_mtime > _PARTIAL_FILE_AGE_S:
                    file.unlink()
