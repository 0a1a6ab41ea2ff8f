"""Places with computed features of images that nobody has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipelines.sources.columns import Files, Texts
from pipelines.sources.examining.examination import ImageScan
from pipelines.sources.examining.scan_table import ScanTable
from pipelines.sources.places.place import Place, PlaceRecord
from pipelines.sources.places.tables import (
    SCAN_COLUMNS,
    build_manifest,
    build_shard,
    read_features,
    read_shard_index,
)
from pipelines.sources.source import Examples, Listing

RECORD = PlaceRecord(
    data="photos",
    root="/photos",
    class_names=("ants", "bees"),
    column_names=("label", "age"),
    recipe={"backbone": {"name": "micro_resnet_s.cifar10"}},
    network="0" * 64,
    preprocessing={"size": 32},
    engine="keras",
    platform="x86_64",
    poolings=("avg", "max"),
    num_features=3,
)


def write_place(
    address: str, listing: Listing, scans: list[ImageScan], cut: int
) -> tuple[list[str], np.ndarray[Any, Any]]:
    """Writes a place of two shards; returns their keys and the features of its usable images."""
    place, usable = Place(address), [not scan.problem for scan in scans]
    features = np.random.default_rng(0).normal(size=(sum(usable), 2, 3)).astype(np.float32)
    before = sum(usable[:cut])
    parts = [(scans[:cut], features[:before]), (scans[cut:], features[before:])]
    keys = ["first", "second"]
    for key, (part, rows) in zip(keys, parts, strict=True):
        place.write_shard(key, build_shard(ScanTable.of(part), rows))
    tables = {key: place.read_shard(key, SCAN_COLUMNS) for key in keys}
    place.write_manifest(build_manifest(listing, np.arange(len(scans)), tables))
    place.write_record(RECORD)
    return keys, features


def make_listing(names: list[str], num_train: int, *, grouped: bool = False) -> Listing:
    """Returns a listing of a training and a validation split, with a column `age`."""

    def part(chosen: list[str], first: int) -> Examples:
        return Examples(
            names=Texts.of(chosen),
            labels=np.arange(len(chosen)) % 2,
            files=Files("/photos", Texts.of(chosen).encoded),
            groups=1 - np.arange(len(chosen)) % 3 if grouped else None,
            group_names=tuple(f"patient {number}" for number in range(len(names))),
            columns={"age": tuple(str(first + number) for number in range(len(chosen)))},
        )

    splits = {"train": part(names[:num_train], 0), "val": part(names[num_train:], 100)}
    return Listing(RECORD.class_names, splits, column_names=RECORD.column_names)


def read_all_features(folder: Path) -> dict[str, bytes]:
    """Returns the features of each usable image of a place, by its digest."""
    place, found = Place(str(folder)), {}
    record = place.read_record()
    assert record is not None
    for key in read_shard_index(place).keys:
        table = place.read_shard(key, ["sha256", "problem", "features"])
        digests, rows = read_features(table, (len(record.poolings), record.num_features))
        pairs = zip(digests, rows, strict=True)
        found |= {digest.tobytes().hex(): row.tobytes() for digest, row in pairs}
    return found
