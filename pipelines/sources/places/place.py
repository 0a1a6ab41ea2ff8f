"""Place: a folder, here or in object storage, that holds images' features and what they are of.

    PLACE/job.json                what the features depend on; written first
    PLACE/shards/<key>.parquet    the images of a shard, in the order of the data set, one a row
    PLACE/manifest.parquet        all images, with labels, splits and the shard of each
    PLACE/features.json           as job.json; written last

A shard is written once, whole, under a key of its images and of all that its features depend
on, so that what is there need not be computed again. A place with a features.json is DATA.
Parquet files have a checksum for each page.

Reference: https://parquet.apache.org/docs/file-format/
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.runtime.remote_folder import RemoteFolder, is_address
from zoo.errors import DataError
from zoo.json_text import json_text

if TYPE_CHECKING:
    import pyarrow as pa

FEATURES_FILE, JOB_FILE, MANIFEST_FILE = "features.json", "job.json", "manifest.parquet"

_SHARDS, _SUFFIX = "shards", ".parquet"


class PlaceRecord(BaseModel):
    """What the features of a place are, and of which images.

    Args:
        format: The layout of the place.
        data: DATA as the user wrote it.
        root: The folder that the images' paths are relative to.
        class_names: In the order of the labels.
        column_names: All columns of the data set.
        recipe: Sections of the recipe that the features depend on.
        network: SHA-256 of the network that computed them.
        preprocessing: How images were fitted to its input.
        engine: What ran it.
        platform: Library and processor, as the engine names them.
        poolings: The P poolings, in their order.
        num_features: F, channels of each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    data: str
    root: str
    class_names: tuple[str, ...]
    column_names: tuple[str, ...]
    recipe: dict[str, Any]
    network: str
    preprocessing: dict[str, Any]
    engine: str
    platform: str
    poolings: tuple[str, ...]
    num_features: int

    def differences(self, other: PlaceRecord) -> list[str]:
        """Returns the names of the fields in which the features of two places differ."""
        fields = ("network", "preprocessing", "engine", "platform", "poolings", "num_features")
        return [name for name in fields if getattr(self, name) != getattr(other, name)]

    def key_of(self, names: Iterable[str], versions: Iterable[tuple[int, ...]]) -> str:
        """Returns the key of a shard.

        Args:
            names: Names of its n images.
            versions: Of each file its size and the time of its last change: what tells one
                content from another before it is read.
        """
        depends = {n: getattr(self, n) for n in ("network", "preprocessing", "engine", "platform")}
        digest = hashlib.sha256(json.dumps([self.format, depends], sort_keys=True).encode())
        for name, version in zip(names, versions, strict=True):
            digest.update(f"{json.dumps([name, *version])}\n".encode())
        return digest.hexdigest()[:32]


class Place:
    """Images with computed features; each method reads or writes a file.

    Args:
        address: A folder, or an address of fsspec.
    """

    def __init__(self, address: str) -> None:
        self.folder = RemoteFolder(address)

    def __str__(self) -> str:
        return self.folder.address

    def read_record(self, name: str = FEATURES_FILE) -> PlaceRecord | None:
        """Returns what the features are; None if there is no such file.

        Args:
            name: FEATURES_FILE, or JOB_FILE.

        Raises:
            DataError: It is damaged, or of another version.
        """
        try:
            return PlaceRecord.model_validate_json(self.folder.read(name))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            first = error.errors()[0]
            raise DataError(
                f"{self}/{name} is damaged, or of another version of this project",
                received=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
                mend="compute the features again, to another place",
            ) from None

    def write_record(self, record: PlaceRecord, name: str = FEATURES_FILE) -> None:
        """Writes what the features are."""
        self.folder.write(name, json_text(record.model_dump(mode="json")).encode())

    def shards(self) -> frozenset[str]:
        """Returns the keys of the shards that are there."""
        found = self.folder.names(_SHARDS)
        return frozenset(name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX))

    def write_shard(self, key: str, table: pa.Table) -> None:
        """Writes a shard, unless it is there."""
        self._write_table(f"{_SHARDS}/{key}{_SUFFIX}", table)

    def read_shard(self, key: str, columns: Sequence[str]) -> pa.Table:
        """Reads columns of a shard.

        Raises:
            DataError: It is missing or damaged.
        """
        return self._read_table(f"{_SHARDS}/{key}{_SUFFIX}", columns)

    def write_manifest(self, table: pa.Table) -> None:
        """Writes the manifest."""
        self._write_table(MANIFEST_FILE, table)

    def read_manifest(self, columns: Sequence[str]) -> pa.Table:
        """Reads columns of the manifest.

        Raises:
            DataError: It is missing or damaged.
        """
        return self._read_table(MANIFEST_FILE, columns)

    def _write_table(self, name: str, table: pa.Table) -> None:
        import pyarrow.parquet as pq

        content = io.BytesIO()
        # No checksum covers Arrow's own schema, which the file does not need.
        pq.write_table(
            table, content, compression="zstd", write_page_checksum=True, store_schema=False
        )
        self.folder.write(name, content.getvalue())

    def _read_table(self, name: str, columns: Sequence[str]) -> pa.Table:
        import pyarrow as pa
        import pyarrow.parquet as pq

        def read(file: BinaryIO) -> pa.Table | Exception:
            try:
                return pq.read_table(file, columns=list(columns), page_checksum_verification=True)
            except (pa.ArrowException, OSError) as error:
                # Arrow's own OSError, as of a page with another checksum, has no number.
                if isinstance(error, pa.ArrowException) or error.errno is None:
                    return error
                raise

        error: Exception
        try:
            found = self.folder.read_by(name, read)
            if not isinstance(found, Exception):
                return found
            error = found
        except FileNotFoundError as missing_error:
            error = missing_error
        missing = isinstance(error, FileNotFoundError)
        raise DataError(
            f"{self}/{name} is {'missing' if missing else 'damaged'}",
            received="" if missing else " ".join(str(error).split())[:120],
            mend="remove it, and run `zoo features` again: it computes what is missing",
        )


def is_place(data: str) -> bool:
    """Returns whether DATA is a place, complete or begun.

    Raises:
        StorageError: The storage of an address fails time and again.
    """
    names = FEATURES_FILE, JOB_FILE
    if is_address(data):
        return any(map(RemoteFolder(data).exists, names))
    return any(os.path.isfile(os.path.join(data, name)) for name in names)


def open_record(data: str) -> PlaceRecord:
    """Returns what the features of a place are.

    Raises:
        DataError: There are none.
    """
    record = Place(data).read_record()
    if record is None:
        raise DataError(
            f"There are no features at {data}",
            expected=f"a folder that `zoo features` wrote to its end, with a {FEATURES_FILE}",
            mend="run `zoo features DATA --backbone NAME --out PLACE` first, or again: it goes on",
        )
    return record


def read_settings_of(data: str) -> Mapping[str, Any]:
    """Returns the sections of the recipe that the features of a place depend on.

    Raises:
        DataError: There are none.
    """
    return open_record(data).recipe


def is_equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Returns whether two mappings hold the same once they are written as JSON."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
