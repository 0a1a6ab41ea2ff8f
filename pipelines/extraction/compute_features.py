"""Features of very many images: shard by shard, each computed once, anywhere."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.extraction.network import build_extractor_of, check_network
from pipelines.extraction.shard_task import ShardJob, compute_shard, holding
from pipelines.features.engines.catalog import ENGINES
from pipelines.features.extraction import Extractor
from pipelines.recipe.levels import reads_lower_levels
from pipelines.recipe.recipe import Recipe
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.recipe.settings import RecipeSettings
from pipelines.runtime.cluster import check_cluster, check_gpus, open_cluster
from pipelines.runtime.devices import prepare_devices
from pipelines.runtime.executor import Executor
from pipelines.runtime.isolation import isolated, start_keras
from pipelines.runtime.remote_folder import is_address
from pipelines.runtime.stderr import suppress_stderr
from pipelines.runtime.task_loop import ATTEMPTS, run_tasks
from pipelines.runtime.threads import map_in_order
from pipelines.sources.checking.validation import check_not_empty
from pipelines.sources.columns import Files, Texts
from pipelines.sources.exclusion import exclude_images
from pipelines.sources.listing.catalog import kind_of
from pipelines.sources.places.place import JOB_FILE, Place, PlaceRecord
from pipelines.sources.places.tables import SCAN_COLUMNS, build_manifest
from pipelines.sources.scanning.ledger import stat_files
from pipelines.sources.source import Finding, Listing
from zoo.errors import ClusterError, DataError, RecipeError, WorkerError
from zoo.progress import track

logger = logging.getLogger(__name__)

SHARD_BYTES = 256 * 2**20
"""Bytes of a shard's files, about: a worker holds them in memory."""

_AHEAD = 2
"""Tasks for each that runs: the next one is there when it ends."""

RENEWED_AFTER = 100
"""Shards of a process: each leaves little memory behind, and a new one takes seconds to start."""

_READERS = 8
"""Shards that are read at a time: on remote storage, what takes long is to wait."""


@dataclass(frozen=True)
class ComputedFeatures:
    """What `compute_features` leaves.

    Args:
        place: Where; DATA for every other job.
        images: Images with features.
        unusable: Images without, each with the reason.
        computed: Shards that were computed now.
        shards: All shards.
    """

    place: str
    images: int
    unusable: tuple[Finding, ...]
    computed: int
    shards: int

    def to_json(self) -> dict[str, Any]:
        """Returns what `zoo features --json` prints."""
        return {
            "place": self.place,
            "images": self.images,
            "unusable": [{"image": f.name, "reason": f.reason} for f in self.unusable],
            "shards": self.shards,
            "computed": self.computed,
        }


@isolated()
def compute_features(
    data: str | Path,
    recipe: RecipeSettings | None = None,
    *,
    backbone: str | None = None,
    out: str | Path,
    shard_images: int = 1000,
    cluster: str | None = None,
    insecure: bool = False,
) -> ComputedFeatures:
    """Computes the features of images, to a place that is DATA from then on.

    Shards that are there are not computed again: an interrupted job goes on where it was, and
    images that were added cost their shards alone. An image that cannot be used is named and
    does not end the job. On like machines features are the same bits, wherever they are computed.

    Args:
        data: DATA as the command line takes it, with files.
        recipe: Backbone, preprocessing and engine; None takes the preset that suits the data.
        backbone: A backbone instead of the preset's; not together with `recipe`.
        out: The place: a folder, or an address of fsspec such as `s3://bucket/features`.
        shard_images: Images of a shard, at most, ≥ 1: what a worker that is lost costs. With
            another number all shards are computed anew.
        cluster: As `tune` takes it.
        insecure: Whether a cluster is used that runs what anybody sends.

    Raises:
        ClusterError: The cluster cannot be reached, refuses, or loses worker after worker.
        DataError: There are no images in files, or the place holds other features.
        RecipeError: The features depend on more than a frozen backbone.
        StorageError: The place cannot be written.
    """
    check_cluster(cluster)
    if recipe is not None and backbone:
        raise RecipeError(
            "a recipe names its own backbone",
            expected="recipe, or backbone",
            received="both",
            mend="Recipe.for_data(data, backbone=…) makes a recipe of it",
        )
    base = Recipe.of(recipe) if recipe else Recipe.for_data(data, backbone=backbone)
    base = base.for_source(data)
    check_network(base.resolve())
    with open_cluster(cluster, insecure=insecure, renewed_after=RENEWED_AFTER) as executor:
        executor.warm_up(start_keras)
        check_gpus(executor)
        return _compute(base, str(out), shard_images, executor)


def _compute(recipe: Recipe, out: str, shard_images: int, executor: Executor) -> ComputedFeatures:
    # Other machines have other working folders.
    place = Place(out if is_address(out) else os.path.abspath(out))
    listing, files = _list_files(recipe.resolve())
    job, extractor = _prepare(place, recipe, listing, files)
    _claim(place, job.record)
    stats = stat_files(files)
    versions = stats[["size", "modified_ns"]]
    names = Texts.join([Texts.of(examples.names) for examples in listing.splits.values()])
    shards = {
        job.record.key_of(names[part], versions[part].tolist()): part
        for part in divide_into_shards(stats["size"], shard_images)
    }
    there = place.shards()
    todo = {key: part for key, part in shards.items() if key not in there}
    logger.info(
        f"{len(files):,} images, {len(shards):,} shards of which {len(todo):,} are to be computed"
    )
    with holding(job, extractor):
        _compute_all(job, todo, names, files, executor)
    read = map_in_order(lambda key: place.read_shard(key, SCAN_COLUMNS), shards, _READERS)
    manifest = build_manifest(listing, stats["size"], dict(zip(shards, read, strict=True)))
    place.write_manifest(manifest)
    place.write_record(job.record)
    problems = manifest["problem"].to_numpy()
    bad = np.flatnonzero(problems != "").tolist()
    unusable = tuple(Finding(names[index], problems[index]) for index in bad)
    usable = len(names) - len(unusable)
    return ComputedFeatures(out, usable, unusable, len(todo), len(shards))


def _list_files(recipe: ResolvedRecipe) -> tuple[Listing, Files]:
    """Returns the images of a recipe, and the files of all splits in order.

    Raises:
        DataError: There are none, or they have no files.
    """
    source = recipe.source
    listing = kind_of(source).list_images(source, recipe.unbound_tasks, recipe.data)
    listing = exclude_images(listing, recipe.data.exclude, [])
    check_not_empty(source, listing, labeled=True)
    parts = [examples.files for examples in listing.splits.values()]
    if any(part is None for part in parts):
        raise DataError(
            f"the images of {source!r} are not in files of their own",
            expected="a folder, or a table of files",
            mend=f"zoo train {source} --out RUN, which computes and keeps its features itself",
        )
    return listing, Files.join([Files.of(part) for part in parts if part is not None])


def _prepare(
    place: Place, recipe: Recipe, listing: Listing, files: Files
) -> tuple[ShardJob, Extractor]:
    """Returns the job that computes shards, and what computes them in this process."""
    resolved = recipe.resolve()
    with suppress_stderr():
        devices = prepare_devices(resolved.device, on_images=False)
    devices.make_deterministic(resolved.seed)
    lower = reads_lower_levels(resolved, _count_learned(listing, resolved.data.test_fraction))
    extractor = build_extractor_of(resolved, lower=lower)
    settings = recipe.to_settings()
    record = PlaceRecord(
        data=resolved.source,
        root=os.path.abspath(files.root),
        class_names=listing.class_names,
        column_names=listing.column_names,
        recipe={name: settings[name] for name in ("backbone", "input") if name in settings},
        network=extractor.network.digest,
        preprocessing=extractor.preprocessing.model_dump(mode="json"),
        engine=extractor.choose_engine(len(files)),
        platform=ENGINES[extractor.engine_name].platform(),
        poolings=extractor.network.poolings,
        num_features=extractor.network.num_features,
    )
    return ShardJob(place.folder.address, record, recipe, lower), extractor


def divide_into_shards(sizes: npt.NDArray[np.int64], shard_images: int) -> Iterator[slice]:
    """Divides files into shards, in their order.

    Args:
        sizes: Bytes of each file, int64 [N]; -1 where there is none.
        shard_images: Files of a shard, at most.

    Yields:
        Slices of that many files or fewer, and of SHARD_BYTES at most unless it is one file.
    """
    start, held = 0, 0
    for index, size in enumerate(sizes.tolist()):
        full = index - start >= shard_images or held + size > SHARD_BYTES
        if full and index > start:
            yield slice(start, index)
            start, held = index, 0
        held += max(0, size)
    yield slice(start, len(sizes))


def _count_learned(listing: Listing, test_fraction: float) -> int:
    """Returns the number of training and validation images, of which none was read yet."""
    count = sum(len(part) for split, part in listing.splits.items() if split != "test")
    return count if "test" in listing.splits else round(count * (1 - test_fraction))


def _claim(place: Place, record: PlaceRecord) -> None:
    """Begins a place, unless it is begun.

    Raises:
        DataError: It holds other features.
    """
    begun = place.read_record(JOB_FILE)
    if begun is None or not place.shards():
        place.write_record(record, JOB_FILE)
        return
    if differences := begun.differences(record):
        raise DataError(
            f"{place} holds other features",
            expected=f"the same {' and '.join(differences)}",
            received=f"those of {begun.recipe.get('backbone', {}).get('name', 'another backbone')}",
            mend="choose another --out",
        )


def _compute_all(
    job: ShardJob,
    todo: dict[str, slice],
    names: Sequence[str],
    files: Files,
    executor: Executor,
) -> None:
    """Computes shards, no more of them under way than keeps every worker busy.

    Raises:
        ClusterError: A shard takes worker after worker with it.
    """
    lost: Counter[str] = Counter()

    def submit(key: str) -> Future[int]:
        part = todo[key]
        paths = files.take(np.arange(part.start, part.stop))[:]
        gpus = min(1, executor.num_gpus)
        return executor.submit(compute_shard, job, key, names[part], paths, num_gpus=gpus)

    def after_loss(key: str, error: WorkerError) -> tuple[None, list[str]]:
        part = todo[key]
        lost[key] += 1
        logger.info(f"the shard of {names[part.start]} was lost: {error}")
        if lost[key] < ATTEMPTS:
            return None, [key]
        raise ClusterError(
            f"the images from {names[part.start]} to {names[part.stop - 1]} took "
            f"{ATTEMPTS} workers with them",
            received=str(error),
            mend="find the image that does, and leave it out by data.exclude",
        ) from None

    with track("features", len(names), unit="images") as progress:
        progress.advance(len(names) - sum(part.stop - part.start for part in todo.values()))
        most = _AHEAD * executor.num_slots
        for key, unusable in run_tasks(todo, submit, after_loss, most=most):
            part = todo[key]
            if unusable:
                logger.info(f"{unusable} images from {names[part.start]} on cannot be used")
            progress.advance(part.stop - part.start)
