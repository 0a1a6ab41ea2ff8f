"""Tables of a place: the rows of a shard and of the manifest, as Arrow tables and as examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.sources.columns import ByteStrings, Digests, Files, Texts
from pipelines.sources.examining.scan_table import ROW, TEXT_FIELDS, ScanTable, TextCodes
from pipelines.sources.places.place import MANIFEST_FILE, Place, open_record
from pipelines.sources.source import Examples, Finding, Listing
from zoo.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_COLUMN = "column:"
"""Before the names of the data set's own columns, in the manifest."""

_SPLITS = ("train", "val", "test", "all")

_DIGEST = "fixed_size_binary[32]"

_FIELDS = tuple(name for name in ROW.names or () if name not in ("sha256", "stamp"))

SCAN_COLUMNS = ("name", "sha256", *_FIELDS)
"""What a shard says of each image beside its features: the fields of an `ImageScan`."""


def build_shard(scans: ScanTable, features: npt.NDArray[np.float32]) -> pa.Table:
    """Builds the table of a shard: SCAN_COLUMNS, and `features`, null for what cannot be used.

    Args:
        scans: The n images of the shard, those that cannot be used among them.
        features: float32 [m, P, F] of the others, in their order.
    """
    import pyarrow as pa

    is_bad = scans.has("problem")
    width = int(np.prod(features.shape[1:]))
    rows = np.zeros((len(scans), width), np.float32)
    rows[~is_bad] = features.reshape(-1, width)
    return pa.table(
        {
            "name": pa.array(list(scans.names), pa.large_string()),
            "sha256": _pack_digests(scans.digests),
            **{field: _pack_field(scans, field) for field in _FIELDS},
            "features": pa.FixedSizeListArray.from_arrays(
                pa.array(rows.reshape(-1)), width, mask=pa.array(is_bad)
            ),
        }
    )


def read_features(
    table: pa.Table, shape: tuple[int, int]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Returns the digests uint8 [m, 32] and features float32 [m, P, F] of a shard's usable images.

    Args:
        table: A shard, with the columns `sha256`, `problem` and `features`.
        shape: P and F.
    """
    import pyarrow.compute as pc

    usable = table.filter(pc.equal(table["problem"], "")).combine_chunks()
    values = usable["features"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return _read_digests(usable).binary, values.reshape(-1, *shape)


def build_manifest(
    listing: Listing, sizes: npt.NDArray[np.int64], shards: Mapping[str, pa.Table]
) -> pa.Table:
    """Builds the manifest: of each image its file, SCAN_COLUMNS, its label, split and shard.

    Args:
        listing: The N images, before any was read.
        sizes: Bytes of each file, int64 [N]; -1 where there is none.
        shards: Of each shard in order, by its key, SCAN_COLUMNS.
    """
    import pyarrow as pa

    parts = list(listing.splits.values())
    codes = np.repeat([_SPLITS.index(split) for split in listing.splits], list(map(len, parts)))
    groups = [name for part in parts for name in _group_names(part)]
    paths = [Files.of(part.files or ()).encoded for part in parts]
    columns = {
        _COLUMN + name: pa.array([text for part in parts for text in part.columns[name]])
        for name in parts[0].columns
    }
    found = pa.concat_tables(shards.values())
    of_shard = np.repeat(np.arange(len(shards)), [len(table) for table in shards.values()])
    return pa.table(
        {
            **{name: found[name] for name in SCAN_COLUMNS},
            "path": pa.array([path for part in paths for path in part], pa.large_binary()),
            "size": pa.array(sizes),
            "label": pa.array(np.concatenate([part.labels for part in parts])),
            "split": _pack_codes(codes, _SPLITS),
            "group": pa.array(groups, pa.string()),
            "shard": _pack_codes(of_shard, list(shards)),
            **columns,
        }
    )


def read_place(data: str, columns: Sequence[str] = ()) -> Listing:
    """Lists the images of a place; they count as scanned, and no file is read.

    Args:
        data: The place.
        columns: Columns of the data set that tasks need.

    Raises:
        DataError: There is none, or it is damaged.
    """
    import pyarrow as pa

    record = open_record(data)
    known = [name for name in columns if name in record.column_names]
    table = Place(data).read_manifest(
        [*SCAN_COLUMNS, "path", "label", "split", "group", *(_COLUMN + name for name in known)]
    )
    _check_manifest(data, table, len(record.class_names))
    scans, paths = _read_scans(table), _read_strings(table["path"])
    labels = table["label"].to_numpy()
    groups, group_names = _read_groups(table["group"])
    codes = table["split"].combine_chunks().dictionary_encode()
    known_splits = codes.dictionary.to_pylist()
    texts = {name: table[_COLUMN + name].to_pylist() for name in known}
    is_usable = ~scans.has("problem")
    splits: dict[str, Examples] = {}
    for split in sorted(known_splits, key=_SPLITS.index):
        is_of_split = codes.indices.to_numpy() == known_splits.index(split)
        chosen = np.flatnonzero(is_of_split & is_usable)
        if len(chosen):
            found = scans.take(chosen)
            splits[split] = Examples(
                names=found.names,
                labels=labels[chosen].astype(np.int64),
                files=Files(record.root, paths.take(chosen)),
                digests=found.digests,
                groups=groups[chosen] if group_names else None,
                group_names=group_names,
                columns={name: tuple(all_[i] for i in chosen) for name, all_ in texts.items()},
            )
    unusable = scans.take(np.flatnonzero(~is_usable))
    del table, codes
    pa.default_memory_pool().release_unused()
    return Listing(
        class_names=record.class_names,
        splits=splits,
        ignored=tuple(Finding(scan.name, scan.problem) for scan in unusable),
        column_names=record.column_names,
        scans=scans,
    )


class ShardIndex(NamedTuple):
    """Which shard has the features of an image.

    Args:
        digests: SHA-256 of all images, uint8 [N, 32].
        shards: Of each, a place among the keys, [N].
        keys: The keys of the shards.
    """

    digests: npt.NDArray[np.uint8]
    shards: npt.NDArray[np.int32]
    keys: list[str]


def read_shard_index(place: Place) -> ShardIndex:
    """Reads which shard of a place has the features of an image.

    Args:
        place: The place.

    Raises:
        DataError: The manifest is missing or damaged.
    """
    table = place.read_manifest(["sha256", "shard"])
    codes = table["shard"].combine_chunks().dictionary_encode()
    return ShardIndex(
        _read_digests(table).binary, codes.indices.to_numpy(), codes.dictionary.to_pylist()
    )


def _check_manifest(data: str, table: pa.Table, num_classes: int) -> None:
    """Checks the values of a manifest, which may come from somebody else.

    Raises:
        DataError: A column holds what it cannot.
    """
    import pyarrow.compute as pc
    from pyarrow import types

    texts = {"name", "split", "group", *TEXT_FIELDS, *filter(_is_own, table.column_names)}
    wrong = [
        name
        for name, kind in zip(table.column_names, table.schema.types, strict=True)
        if table[name].null_count
        or not (
            types.is_string(kind)
            if name in texts
            else types.is_binary(kind)
            if name == "path"
            else str(kind) == _DIGEST
            if name == "sha256"
            else types.is_integer(kind) or types.is_boolean(kind)
        )
    ]
    if not wrong and len(table):
        splits = set(pc.unique(table["split"]).to_pylist())
        lowest, highest = pc.min_max(table["label"]).as_py().values()
        wrong += ["split"] if splits - set(_SPLITS) else []
        wrong += ["label"] if lowest < 0 or highest >= num_classes else []
    if wrong:
        raise DataError(
            f"{data}/{MANIFEST_FILE} is damaged, or of another version of this project",
            received=f"other values in {', '.join(map(repr, wrong))}",
            mend="run `zoo features` again: it computes what is missing",
        )


def _group_names(examples: Examples) -> list[str]:
    """Returns the name of each image's group; empty for one that stands alone."""
    if examples.groups is None:
        return [""] * len(examples)
    names = examples.group_names
    return [names[number] if number >= 0 else "" for number in examples.groups.tolist()]


def _read_groups(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Returns the number of each image's group, -1 for none, and the groups' names."""
    codes = column.combine_chunks().dictionary_encode()
    found = codes.dictionary.to_pylist()
    names = tuple(filter(None, found))
    places = {name: number for number, name in enumerate(names)}
    numbers = np.array([places.get(name, -1) for name in found], np.int64)
    return numbers[codes.indices.to_numpy()] if found else np.zeros(0, np.int64), names


def _is_own(column: str) -> bool:
    return column.startswith(_COLUMN)


def _pack_field(scans: ScanTable, field: str) -> pa.Array:
    import pyarrow as pa

    values = scans.rows[field]
    if field not in TEXT_FIELDS:
        return pa.array(values)
    return _pack_codes(values, scans.texts)


def _pack_codes(codes: npt.NDArray[Any], texts: Sequence[str]) -> pa.Array:
    """Returns a column of texts, given by their places among those that there are."""
    import pyarrow as pa

    found = pa.array(codes.astype(np.int32)), pa.array(texts, pa.string())
    return pa.DictionaryArray.from_arrays(*found).cast(pa.string())


def _read_scans(table: pa.Table) -> ScanTable:
    """Returns what a table has in SCAN_COLUMNS."""
    codes = TextCodes()
    rows = np.zeros(len(table), ROW)
    rows["sha256"] = _read_digests(table).binary
    for field in _FIELDS:
        if field not in TEXT_FIELDS:
            rows[field] = table[field].to_numpy()
            continue
        encoded = table[field].combine_chunks().dictionary_encode()
        numbers = np.array([codes.code(text) for text in encoded.dictionary.to_pylist()], np.uint32)
        rows[field] = numbers[encoded.indices.to_numpy()] if len(numbers) else 0
    return ScanTable(Texts(_read_strings(table["name"])), rows, codes.texts)


def _pack_digests(digests: Digests) -> pa.Array:
    import pyarrow as pa

    content = pa.py_buffer(np.ascontiguousarray(digests.binary).tobytes())
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(digests), [None, content])


def _read_digests(table: pa.Table) -> Digests:
    parts = [np.empty((0, 32), np.uint8)]
    for chunk in table["sha256"].chunks:
        rows = np.frombuffer(chunk.buffers()[1], np.uint8).reshape(-1, 32)
        parts.append(rows[chunk.offset : chunk.offset + len(chunk)])
    return Digests(np.concatenate(parts))


def _read_strings(column: pa.ChunkedArray) -> ByteStrings:
    """Returns a column of texts or bytes, in one buffer."""
    import pyarrow as pa

    joined = column.cast(pa.large_binary()).combine_chunks()
    if not len(joined):
        return ByteStrings.of(())
    _, offsets, content = joined.buffers()
    ends = np.frombuffer(offsets, np.int64)[joined.offset : joined.offset + len(joined) + 1]
    buffer = content.to_pybytes() if content is not None else b""
    return ByteStrings(buffer, ends[:-1], np.diff(ends).astype(np.int32))
