"""SOURCES: what DATA can be, and the one way from DATA to a checked Source."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.sources.config import DataConfig
from pipelines.sources.csv_table import read_csv
from pipelines.sources.digits import read_digits
from pipelines.sources.folder import read_folder, read_heap
from pipelines.sources.outliers import find_suspects
from pipelines.sources.scan import decodable, scan
from pipelines.sources.source import Examples, Listing, Remark, Source
from pipelines.sources.split import first_per_class, split_examples
from pipelines.sources.task_columns import bind_tasks, check_tasks, fit_tasks
from pipelines.sources.tfds import read_tfds
from pipelines.sources.validation import check_classes, check_decodable, check_images, exclude
from zoo.errors import DataError
from zoo.table import Table, unknown_name
from zoo.tasks import Task

if TYPE_CHECKING:
    from pipelines.sources.evaluation_set import EvaluationSet


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

    def listing(self, data: str, tasks: Sequence[Task] = ()) -> Listing:
        """Lists a data set, with what named tasks ask for.

        Args:
            data: As the user wrote it.
            tasks: The named tasks, if any.

        Raises:
            DataError: It cannot be read.
        """
        if tasks and self.read_columns:
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


def open_source(
    data: str,
    config: DataConfig | None = None,
    *,
    seed: int = 0,
    tasks: Sequence[Task] = (),
    labeled: bool = True,
) -> Source:
    """Reads a data set, decodes every image once, checks it and divides it.

    Args:
        data: A folder, a .csv file, `tfds:NAME[:CONFIG]`, `textures` or `digits`.
        config: What to leave out and how to divide; None takes the defaults.
        seed: Seeds the division, where the source has none of its own.
        tasks: The named tasks that a model is to learn; none for the classes alone.
        labeled: Whether the labels are to be learned: without, one class will do, any
            may be missing from training, and a folder need not be sorted.

    Raises:
        DataError: It cannot be trained on; the subclasses say why.
        UnknownNameError: TFDS knows no such data set.
    """
    config = config or DataConfig()
    kind = kind_of(data)
    found = kind.listing(data, tasks)
    if not labeled and not found.splits and kind.read_unlabeled:
        found = kind.read_unlabeled(data)
    listing = exclude(found, config.exclude)
    check_images(data, listing, labeled=labeled)
    if tasks:
        listing = bind_tasks(data, listing, tasks)
    if labeled:
        check_labels(data, listing)
    facts = scan(listing)
    everything = [fact for found in facts.values() for fact in found]
    check_decodable(data, everything, config.max_undecodable)
    listing, kept = decodable(listing, facts)
    if labeled:
        check_labels(data, listing, found="image that can be decoded")
    skipped = [Remark(fact.name, fact.problem) for fact in everything if fact.problem]
    splits = divide(listing, config, seed)
    return Source(
        name=data,
        class_names=listing.class_names,
        train=splits["train"],
        val=splits["val"],
        test=splits.get("test"),
        skipped=(*skipped, *listing.outside),
        suspects=find_suspects(kept),
        named_tasks=fit_tasks(data, listing.named_tasks, splits["train"]),
    )


def check_labels(data: str, listing: Listing, *, found: str = "image") -> None:
    """Checks that there is something to tell apart, and that training sees all of it.

    Args:
        data: As the user wrote it.
        listing: What is left of what a reader found.
        found: What a class lacks, in the message.

    Raises:
        DataError: There is not; see `check_classes` and `check_tasks`.
    """
    check = check_tasks if listing.named_tasks else check_classes
    check(data, listing, found=found)


def divide(listing: Listing, config: DataConfig, seed: int) -> dict[str, Examples]:
    """Takes from the training images what the source has no split of its own for.

    Args:
        listing: With a split `all` or `train`.
        config: The shares.
        seed: Of the division.

    Raises:
        DataError: A class has fewer images than there are parts.
    """
    splits = dict(listing.splits)
    whole = splits.pop("all") if "all" in splits else splits.pop("train")
    wanted = {
        "val_fraction": 0.0 if "val" in splits else config.val_fraction,
        "test_fraction": 0.0 if "test" in splits else config.test_fraction,
    }
    splits |= split_examples(whole, listing.class_names, **wanted, seed=seed)
    if config.train_per_class:
        splits["train"] = first_per_class(splits["train"], config.train_per_class, seed=seed)
    return splits


def describe(source: Source | EvaluationSet, *, most: int = 20) -> list[str]:
    """Says what was left out and what looks odd, a line each.

    Args:
        source: As `open_source` or `open_evaluation_set` returned it.
        most: How many lines to write about each before only counting the rest.
    """
    lines = [f"skipped {remark.name}: {remark.reason}" for remark in source.skipped[:most]]
    if len(source.skipped) > most:
        lines.append(f"skipped {len(source.skipped) - most} more; `zoo audit` lists all")
    for remark in source.suspects[:most]:
        advice = "kept"
        if isinstance(source, Source):
            setting = f"data.exclude={json.dumps([remark.name], ensure_ascii=False)}"
            advice += f"; leave it out with --set {shlex.quote(setting)}"
        lines.append(f"suspect {remark.name}: {remark.reason} ({advice})")
    if len(source.suspects) > most:
        lines.append(f"suspect {len(source.suspects) - most} more; `zoo audit` lists all")
    return lines
