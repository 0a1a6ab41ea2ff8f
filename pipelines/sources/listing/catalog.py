"""SOURCES: the kinds of data set that DATA can name, each with its reader."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.runtime.remote_folder import is_address
from pipelines.sources.config import NEAR_DUPLICATES, TIME, DataConfig
from pipelines.sources.listing.bursts import group_by_time
from pipelines.sources.listing.csv_table import read_csv
from pipelines.sources.listing.digits import read_digits
from pipelines.sources.listing.folder import read_folder, read_unlabeled_folder
from pipelines.sources.listing.groups import group_by_names
from pipelines.sources.listing.remote import (
    read_remote,
    read_remote_columns,
    read_unlabeled_remote,
)
from pipelines.sources.listing.tfds import read_tfds
from pipelines.sources.places.place import is_place, read_settings_of
from pipelines.sources.signs.reader import read_signs
from pipelines.sources.source import Listing
from zoo.errors import DataError
from zoo.table import Table, unknown_name
from zoo.tasks import Task


@dataclass(frozen=True)
class SourceKind:
    """A kind of data set and its readers.

    Args:
        name: Key in SOURCES; of an embedded data set, its name for the user.
        summary: What DATA looks like, in one line.
        matches: Whether DATA, as the user wrote it, is of this kind. The first row
            that matches is used.
        read: Lists the images with their classes; takes DATA and the recipe's section
            `data`.
        read_columns: Lists the images with the named columns, for recipes with tasks;
            None if the images have a class and nothing else. Takes DATA, the columns and
            the section `data`.
        read_unlabeled: Lists the images whose labels nobody needs, and which may have none;
            takes what `read` takes. None if the data set always has labels.
        preset: The recipe preset that suits its images.
        read_settings: Reads the sections of a recipe that suit it better than a preset, of a data
            set that has them; takes DATA.
        embedded: Whether it ships with this project.
    """

    name: str
    summary: str
    matches: Callable[[str], bool]
    read: Callable[[str, DataConfig], Listing]
    read_columns: Callable[[str, Sequence[str], DataConfig], Listing] | None = None
    read_unlabeled: Callable[[str, DataConfig], Listing] | None = None
    preset: str = "photo"
    read_settings: Callable[[str], Mapping[str, Any]] | None = None
    embedded: bool = False

    def list_images(
        self, data: str, tasks: Sequence[Task], config: DataConfig, *, labeled: bool = True
    ) -> Listing:
        """Lists a data set, with the columns that named tasks need.

        Args:
            data: DATA as the user wrote it.
            tasks: The tasks to learn or to evaluate.
            config: Which folders are classes, how a table names columns and files, and which
                images belong together.
            labeled: Whether images need a label; otherwise a folder may be unsorted, and a table
                may have paths alone.

        Raises:
            DataError: The data set cannot be read.
        """
        if self.read_columns and not tasks[0].bare:
            listing = self.read_columns(data, [task.column for task in tasks], config)
        elif self.read_unlabeled and not labeled:
            listing = self.read_unlabeled(data, config)
        else:
            listing = self.read(data, config)
        if config.group == TIME:
            return group_by_time(listing)
        # Near-duplicates are found once images have been scanned.
        by_names = config.group not in ("", NEAR_DUPLICATES)
        return group_by_names(listing, config.group) if by_names else listing


def _read_place(data: str, columns: Sequence[str] = ()) -> Listing:
    # It needs NumPy, which `zoo list` does without.
    from pipelines.sources.places.tables import read_place

    return read_place(data, columns)


SOURCES: Table[SourceKind] = Table(
    "kind of data set",
    [
        SourceKind(
            name="textures",
            summary="embedded: ten classes of drawn textures, 64x64, 2,000 images",
            matches=lambda data: data in ("textures", "tfds:textures"),
            read=lambda data, config: read_tfds("tfds:textures"),
            read_columns=lambda data, columns, config: read_tfds("tfds:textures", columns),
            preset="textures",
            embedded=True,
        ),
        SourceKind(
            name="digits",
            summary="embedded: scikit-learn's 1,797 scans of handwritten digits, 8x8",
            matches=lambda data: data == "digits",
            read=lambda data, config: read_digits(data),
            preset="digits",
            embedded=True,
        ),
        SourceKind(
            name="signs",
            summary="embedded: 1,000 photographs of hand signs for the digits 0 to 9, 100x100",
            matches=lambda data: data == "signs",
            read=lambda data, config: read_signs(data),
            embedded=True,
        ),
        SourceKind(
            name="tfds",
            summary="tfds:NAME[:CONFIG], a TensorFlow Datasets set of images with one label each",
            matches=lambda data: data.startswith("tfds:"),
            read=lambda data, config: read_tfds(data),
            read_columns=lambda data, columns, config: read_tfds(data, columns),
        ),
        SourceKind(
            name="features",
            summary="a folder, or an address such as s3://bucket/folder, that `zoo features` wrote",
            matches=is_place,
            read=lambda data, config: _read_place(data),
            read_columns=lambda data, columns, config: _read_place(data, columns),
            read_settings=read_settings_of,
        ),
        SourceKind(
            name="remote",
            summary="a folder of class folders or a table at an address, such as s3://bucket/photos",
            matches=is_address,
            read=read_remote,
            read_columns=read_remote_columns,
            read_unlabeled=read_unlabeled_remote,
        ),
        SourceKind(
            name="csv",
            summary="a .csv or .tsv file with the columns path, label, perhaps split and group, or "
            "others for [tasks]",
            matches=lambda data: (
                data.lower().endswith((".csv", ".tsv")) and not os.path.isdir(data)
            ),
            read=lambda data, config: read_csv(data, config=config),
            read_columns=read_csv,
            read_unlabeled=lambda data, config: read_csv(data, (), config),
        ),
        SourceKind(
            name="folder",
            summary="a folder of class folders, alone or below train/, val/ and test/",
            # Unlike Path.is_dir, it does not raise for a name that is too long.
            matches=os.path.isdir,
            read=read_folder,
            read_unlabeled=read_unlabeled_folder,
        ),
    ],
)


def kind_of(data: str) -> SourceKind:
    """Returns the row of SOURCES that DATA matches.

    The name of an embedded data set takes precedence over a folder of the same name;
    `./textures` means the folder.

    Raises:
        DataError: DATA matches no row.
    """
    for kind in SOURCES.values():
        if data and kind.matches(data):
            return kind
    embedded = [kind.name for kind in SOURCES.values() if kind.embedded]
    mend = "check the path"
    if os.path.isfile(data):
        archive = Path(data).suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z")
        mend = "unpack it first" if archive else "point at the folder above the class folders"
    else:
        guess = str(unknown_name("data set", data, embedded))
        if "Did you mean" in guess:
            mend = guess[guess.index("Did you mean") :].replace("D", "d", 1)
    raise DataError(
        f"There is no data set {data!r}",
        expected=f"a folder, a .csv or .tsv file, tfds:NAME[:CONFIG], {' or '.join(embedded)}",
        received="a file" if os.path.isfile(data) else "another name",
        mend=mend,
    )


def preset_of(data: str) -> str:
    """Returns the recipe preset that suits DATA, without reading it; by default `photo`."""
    for kind in SOURCES.values():
        if kind.matches(data):
            return kind.preset
    return "photo"


def settings_of(data: str) -> Mapping[str, Any]:
    """Returns the sections of a recipe that DATA comes with; none for most.

    Raises:
        DataError: They cannot be read.
    """
    for kind in SOURCES.values():
        if kind.matches(data):
            return kind.read_settings(data) if kind.read_settings else {}
    return {}


def lasting_name(data: str) -> str:
    """Returns a name that means the same data set from any working folder.

    Args:
        data: DATA as the command line takes it.

    Raises:
        DataError: There is no such data set.
    """
    on_disk = kind_of(data).name in ("folder", "csv", "features") and not is_address(data)
    return str(Path(data).resolve()) if on_disk else data
