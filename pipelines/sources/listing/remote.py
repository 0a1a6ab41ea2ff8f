"""Read a folder or a table at an address: copied into the cache, then read as any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipelines.sources.config import DataConfig
from pipelines.sources.listing.csv_table import read_csv
from pipelines.sources.listing.folder import read_folder, read_unlabeled_folder
from pipelines.sources.source import Listing
from zoo.errors import DataError

TABLES = (".csv", ".tsv")
"""What the names of tables end with."""


def read_remote(data: str, config: DataConfig) -> Listing:
    """Lists the images of a folder of class folders, or of a table, at an address.

    Args:
        data: As fsspec takes it, such as `s3://bucket/photos` or `s3://bucket/photos.csv`. Of a
            table, everything in its folder is copied.
        config: As `read_folder` and `read_csv` take it.

    Raises:
        DataError: As these raise it, or there is nothing.
        StorageError: The storage fails time and again.
    """
    if _is_table(data):
        return read_csv(_copy_table(data), config=config)
    return read_folder(str(_fetch(data)), config)


def read_remote_columns(data: str, columns: Sequence[str], config: DataConfig) -> Listing:
    """Lists the images of a table at an address, with the columns that tasks need.

    Args:
        data: As `read_remote` takes it.
        columns: Their headings.
        config: As `read_csv` takes it.

    Raises:
        DataError: It is no table, or as `read_csv` raises it.
        StorageError: The storage fails time and again.
    """
    if not _is_table(data):
        raise DataError(
            f"{data} has a class for each image and no further columns",
            expected="a .csv or .tsv file for the recipe's tasks",
            received="a folder",
            mend="name the table",
        )
    return read_csv(_copy_table(data), columns, config)


def read_unlabeled_remote(data: str, config: DataConfig) -> Listing:
    """Lists images at an address whose labels nobody needs.

    Args:
        data: As `read_remote` takes it.
        config: As `read_unlabeled_folder` and `read_csv` take it.

    Raises:
        DataError: As these raise it, or there is nothing.
        StorageError: The storage fails time and again.
    """
    if _is_table(data):
        return read_csv(_copy_table(data), (), config)
    return read_unlabeled_folder(str(_fetch(data)), config)


def _is_table(data: str) -> bool:
    return data.lower().endswith(TABLES)


def _copy_table(data: str) -> str:
    folder, _, name = data.rpartition("/")
    return str(_fetch(folder) / name)


def _fetch(address: str) -> Path:
    # It needs NumPy, which `zoo list` does without.
    from pipelines.runtime.mirror import mirror

    return mirror(address)
