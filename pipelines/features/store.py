"""Store: features on disk, memory-mapped, under a key of all that they depend on.

    FOLDER/<key>/key.json      what was hashed into the folder's name
    FOLDER/<key>/<name>.npy    a shard: some images' digests, and their features

An image is found by the digest of its file, so features outlive renamed files and
other divisions, and images added later are all that has to be computed. Shards are
written whole or not at all and never changed: what a killed job had finished is there
for the next one, and two jobs at once cannot harm each other.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo.files import replacing, write_json

_LEFTOVER_S = 6 * 3600


class Space:
    """The features that one key names: of any number of images, one view of each.

    Args:
        folder: Where its shards are.
        num_features: F, channels of each pooling.
    """

    def __init__(self, folder: Path, num_features: int) -> None:
        self.folder = folder
        self.num_features = num_features
        self.shards: list[npt.NDArray[np.float32]] = []
        self._place: dict[str, tuple[int, int]] = {}
        for file in sorted(folder.glob("[!.]*.npy")):
            self._open(file)

    def __contains__(self, image: str) -> bool:
        return image in self._place

    def place(self, image: str) -> tuple[int, int]:
        """Returns in which of `shards`, and in which row of it, an image's features are."""
        return self._place[image]

    def write(self, images: Sequence[str], features: npt.NDArray[np.float32]) -> None:
        """Adds a shard.

        Args:
            images: SHA-256 of n images, 64 hexadecimal digits each.
            features: float32 [n, 2, F].
        """
        name = hashlib.sha256("".join(images).encode()).hexdigest()[:32]
        shard = np.empty(1, _shard_type(len(images), self.num_features))
        digests = b"".join(bytes.fromhex(image) for image in images)
        shard["images"] = np.frombuffer(digests, np.uint8).reshape(-1, 32)
        shard["features"] = features
        file = self.folder / f"{name}.npy"
        with replacing(file) as temporary:
            np.save(temporary, shard, allow_pickle=False)
        self._open(file)

    def _open(self, file: Path) -> None:
        try:
            shard = np.load(file, mmap_mode="r", allow_pickle=False)
            digests, features = shard["images"][0], shard["features"][0]
            if features.shape != (len(digests), 2, self.num_features):
                raise ValueError(f"features of shape {features.shape}")
        except (OSError, EOFError, ValueError, IndexError, KeyError):
            # Removed by another job, or damaged: what it held is computed again.
            file.unlink(missing_ok=True)
            return
        with contextlib.suppress(OSError):
            os.utime(file)  # in use: the longest unused are removed first
        number = len(self.shards)
        self.shards.append(features)
        for row, digest in enumerate(digests):
            self._place[digest.tobytes().hex()] = (number, row)


class FeatureStore:
    """All features of a machine.

    Args:
        folder: Where they are kept.
        limit_bytes: What they may take together.
    """

    def __init__(self, folder: Path, limit_bytes: float) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes

    def space(self, key: Mapping[str, Any], num_features: int) -> Space:
        """Opens the features of a key, be there any or none.

        Args:
            key: JSON values: everything the features depend on but the images.
            num_features: F.
        """
        text = json.dumps(key, sort_keys=True)
        folder = self.folder / hashlib.sha256(text.encode()).hexdigest()[:32]
        if not (folder / "key.json").exists():
            write_json(folder / "key.json", key)
        return Space(folder, num_features)

    def evict(self, kept: Iterable[Space]) -> int:
        """Removes the longest unused shards until the rest fits the limit.

        Args:
            kept: Whose shards stay whatever they take.

        Returns:
            How many bytes were removed.
        """
        mine = {space.folder for space in kept}
        self._remove_leftovers()
        files = []
        for file in self.folder.glob("*/[!.]*.npy"):
            with contextlib.suppress(OSError):  # removed by another job meanwhile
                stat = file.stat()
                files.append((stat.st_mtime_ns, stat.st_size, file))
        total, removed = sum(size for _, size, _ in files), 0
        for _, size, file in sorted(files):
            if total - removed <= self.limit_bytes:
                break
            if file.parent not in mine:
                file.unlink(missing_ok=True)
                removed += size
        for folder in {file.parent for _, _, file in files} - mine:
            if not any(folder.glob("*.npy")):
                (folder / "key.json").unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # another job writes to it just now
                    folder.rmdir()
        return removed

    def _remove_leftovers(self) -> None:
        """Removes what killed jobs left half-written, hours ago."""
        for file in self.folder.glob("*/.*.npy"):
            with contextlib.suppress(OSError):
                if time.time() - file.stat().st_mtime > _LEFTOVER_S:
                    file.unlink()


def _shard_type(num_images: int, num_features: int) -> np.dtype[np.void]:
    # One record: all digests, then all features, so that finding does not read features.
    return np.dtype(
        [("images", "u1", (num_images, 32)), ("features", "<f4", (num_images, 2, num_features))]
    )
