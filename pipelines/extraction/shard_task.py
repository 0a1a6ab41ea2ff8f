"""Task that computes the features of a shard: reads its images once and writes one file."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipelines.extraction.network import build_extractor_of
from pipelines.features.engines.catalog import ENGINES
from pipelines.features.extraction import Extractor
from pipelines.recipe.recipe import Recipe
from pipelines.runtime.devices import prepare_devices
from pipelines.runtime.stderr import suppress_stderr
from pipelines.runtime.threads import map_in_order
from pipelines.sources.examining.kept_images import KeptImages
from pipelines.sources.examining.scan_table import ScanTable
from pipelines.sources.places.place import Place, PlaceRecord
from pipelines.sources.places.tables import build_shard
from pipelines.sources.scanning.scan import keep_decodable, scan_images
from pipelines.sources.source import UNLABELED, Examples, Listing
from zoo.errors import ClusterError, RecipeError

_READERS = 8
"""Files that are read at a time: on a shared or remote disk, what takes long is to wait."""

_EIGHT_BITS = 8


@dataclass(frozen=True)
class ShardJob:
    """What all shards of a job share.

    Args:
        address: The place.
        record: What its features are.
        recipe: Resolves to backbone, preprocessing and limits of what counts as an image.
        lower: Whether the features of lower levels are computed, too.
    """

    address: str
    record: PlaceRecord
    recipe: Recipe
    lower: bool


def compute_shard(job: ShardJob, key: str, names: Sequence[str], paths: Sequence[Path]) -> int:
    """Computes a shard and writes it, unless it is there.

    Args:
        job: What it shares with the others.
        key: Of the shard.
        names: Of its n images.
        paths: Their files.

    Returns:
        The number of images that cannot be used.

    Raises:
        ClusterError: This machine would compute other features.
        RecipeError: The depth of an image has to be decided.
        StorageError: The place cannot be written.
    """
    extractor = _open_extractor(job)
    recipe = job.recipe.resolve()
    contents = list(map_in_order(_read, paths, _READERS))
    examples = Examples(
        names=names,
        labels=np.zeros(len(names), np.int64),
        encoded=tuple(content for content, _ in contents),
    )
    listing = Listing(UNLABELED, {"all": examples})
    kept = KeptImages(recipe.input.preprocessing.decoder, recipe.input.cache_mib)
    found = scan_images(listing, recipe.data, kept)
    scans = found["all"] = _with_read_errors(found["all"], [problem for _, problem in contents])
    usable = keep_decodable(listing, found, kept).splits.get("all")
    if usable is None:
        features = np.empty((0, *extractor.row.shape), np.float32)
    else:
        _check_depth(recipe.input.depth, usable)
        features = extractor.compute(usable)
    Place(job.address).write_shard(key, build_shard(scans, features))
    return int(scans.has("problem").sum())


def _read(path: Path) -> tuple[bytes, str]:
    """Returns the bytes of a file, or none and why."""
    try:
        if not path.is_file():
            return b"", "missing"
        return path.read_bytes(), ""
    except OSError as error:
        return b"", f"cannot be read: {error.strerror}"


def _with_read_errors(scans: ScanTable, problems: Sequence[str]) -> ScanTable:
    """Returns the results with what was wrong with files that could not be read."""
    if not any(problems):
        return scans
    pairs = zip(scans, problems, strict=True)
    return ScanTable.of(
        replace(scan, problem=why, sha256="") if why else scan for scan, why in pairs
    )


def _check_depth(depth: int | str, examples: Examples) -> None:
    """Checks that no image leaves open how many of its bits are used.

    Raises:
        RecipeError: One does.
    """
    bits = examples.bits
    if depth != "auto" or bits is None or not (bits > _EIGHT_BITS).any():
        return
    deepest = int(bits.argmax())
    raise RecipeError(
        f"{examples.names[deepest]} has colors of {bits[deepest]} bits",
        expected="input.depth, which is otherwise measured over all images",
        received="auto",
        mend="--set input.depth=16, or the number of bits that the images use",
    )


_extractors: dict[str, Extractor] = {}
"""What computes the features of the job that this process works for: TensorFlow's graphs are
built once. No result depends on it."""


@contextlib.contextmanager
def holding(job: ShardJob, extractor: Extractor) -> Iterator[None]:
    """Has tasks that run in this process use an extractor that is there already.

    Args:
        job: The job.
        extractor: What computes its features.
    """
    key = job.record.model_dump_json()
    _extractors[key] = extractor
    try:
        yield
    finally:
        del _extractors[key]


def _open_extractor(job: ShardJob) -> Extractor:
    """Returns what computes the features, after checking that they are those of the driver.

    Raises:
        ClusterError: They are not.
    """
    key = job.record.model_dump_json()
    if key not in _extractors:
        _extractors.clear()
        recipe = job.recipe.resolve()
        with suppress_stderr():
            devices = prepare_devices(recipe.device, on_images=False)
        devices.make_deterministic(recipe.seed)
        extractor = build_extractor_of(recipe.with_engine(job.record.engine), lower=job.lower)
        platform = ENGINES[job.record.engine].platform()
        if (extractor.network.digest, platform) != (job.record.network, job.record.platform):
            raise ClusterError(
                f"{socket.gethostname()} would compute other features than this machine",
                expected=f"{job.record.engine} on {job.record.platform}, and the same weights",
                received=platform,
                mend="install the same versions on machines of one kind",
            )
        _extractors[key] = extractor
    return _extractors[key]
