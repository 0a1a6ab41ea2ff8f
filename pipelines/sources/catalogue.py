"""SOURCES: the kinds of data set that DATA can name, each with its reader."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.sources.csv_table import read_csv
from pipelines.sources.digits import read_digits
from pipelines.sources.folder import read_folder, read_heap
from pipelines.sources.source import Listing
from pipelines.sources.tfds import read_tfds
from zoo.errors import DataError
from zoo.table import Table, unknown_name
from zoo.tasks import Task


@dataclass(frozen=True)
class SourceKind:
    """A kind of data set, and how it is read.

    Args:
        name: The key in SOURCES; of an embedded set, what the user writes.
        summary: What DATA looks like, in one line.
        matches: Whether DATA, as the user wrote it, is of this kind. The first row
            that says so has it.
        read: Lists it. All that follows is the same for every kind.
        read_columns: Lists it with the columns named, for a recipe with tasks; None
            where images have their class and nothing else.
        read_unlabeled: Lists it where `read` finds no label and none is wanted; None
            where there is always one.
        preset: The recipe preset that fits its images.
        embedded: Whether it comes with the project.
    """

    name: str
    summary: str
    matches: Callable[[str], bool]
    read: Callable[[str], Listing]
    read_columns: Callable[[str, Sequence[str]], Listing] | None = None
    read_unlabeled: Callable[[str], Listing] | None = None
    preset: str = "photo"
    embedded: bool = False

    def listing(self, data: str, tasks: Sequence[Task]) -> Listing:
        """Lists a data set, with the columns that named tasks need.

        Args:
            data: As the user wrote it.
            tasks: What is to be learned.

        Raises:
            DataError: It cannot be read.
        """
        if self.read_columns and not tasks[0].bare:
            return self.read_columns(data, [task.column for task in tasks])
        return self.read(data)


SOURCES: Table[SourceKind] = Table(
    "kind of data set",
    [
        SourceKind(
            name="textures",
            summary="embedded: ten classes of drawn textures, 64x64, 2,000 images",
            matches=lambda data: data in ("textures", "tfds:textures"),
            read=lambda _: read_tfds("tfds:textures"),
            read_columns=lambda _, columns: read_tfds("tfds:textures", columns),
            preset="textures",
            embedded=True,
        ),
        SourceKind(
            name="digits",
            summary="embedded: scikit-learn's 1,797 scans of handwritten digits, 8x8",
            matches=lambda data: data == "digits",
            read=read_digits,
            preset="digits",
            embedded=True,
        ),
        SourceKind(
            name="tfds",
            summary="tfds:NAME[:CONFIG], images with one label each of TensorFlow Datasets",
            matches=lambda data: data.startswith("tfds:"),
            read=read_tfds,
            read_columns=read_tfds,
        ),
        SourceKind(
            name="csv",
            summary="a .csv file with the columns path, label and perhaps split, or others "
            "for [tasks]",
            matches=lambda data: data.lower().endswith(".csv") and not os.path.isdir(data),
            read=read_csv,
            read_columns=read_csv,
        ),
        SourceKind(
            name="folder",
            summary="a folder of class folders, alone or below train/, val/ and test/",
            # Unlike Path.is_dir it raises nothing, however long the name is.
            matches=os.path.isdir,
            read=read_folder,
            read_unlabeled=read_heap,
        ),
    ],
)


def kind_of(data: str) -> SourceKind:
    """Returns the row of SOURCES that DATA belongs to.

    The name of an embedded set means that set, even where a folder has the same
    name; `./textures` means the folder.

    Raises:
        DataError: It belongs to none.
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
        expected=f"a folder, a .csv file, tfds:NAME[:CONFIG], {' or '.join(embedded)}",
        received="a file" if os.path.isfile(data) else "a name that is none of these",
        mend=mend,
    )


def preset_of(data: str) -> str:
    """Returns the recipe preset that suits DATA, without reading it; `photo` in doubt."""
    for kind in SOURCES.values():
        if kind.matches(data):
            return kind.preset
    return "photo"
