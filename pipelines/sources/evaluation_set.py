"""Labeled images to measure a model on, be they those it was trained on or new ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.sources.catalogue import kind_of
from pipelines.sources.config import DataConfig
from pipelines.sources.folder import SPLIT_NAMES
from pipelines.sources.outliers import find_suspects
from pipelines.sources.scan import decodable, scan
from pipelines.sources.source import Examples, Listing, Remark, join_examples
from pipelines.sources.split import assign_by_digest, divide
from pipelines.sources.task_columns import bind_tasks
from pipelines.sources.validation import check_decodable, check_images, exclude
from zoo.errors import DataError, UndecodableError
from zoo.tasks import Task


@dataclass(frozen=True)
class EvaluationSet:
    """Labeled images to measure a model on: every one decodes and has a class it knows.

    Unlike of a `Source`, nothing was trained on them: any class may be absent, and
    any split.

    Args:
        name: As the user wrote it.
        class_names: The model's, which the labels index; with named tasks, what a
            division is stratified by.
        tasks: The model's.
        splits: `all`, or those of train, val and test that the data set has.
        skipped: Left out, since they cannot be decoded.
        suspects: Kept, though they look unlike the rest.
    """

    name: str
    class_names: tuple[str, ...]
    tasks: tuple[Task, ...]
    splits: dict[str, Examples]
    skipped: tuple[Remark, ...] = ()
    suspects: tuple[Remark, ...] = ()

    def divided(self, config: DataConfig, *, seed: int) -> EvaluationSet:
        """Returns the same, divided as `open_source` divides it for training.

        Args:
            config: The shares.
            seed: Of the division.

        Raises:
            DataError: A class has fewer images than there are parts.
        """
        if not {"all", "train"} & set(self.splits):
            return self
        found = divide(Listing(self.class_names, self.splits), config, seed)
        order = [name for name in ("train", "val", "test") if name in found]
        return replace(self, splits={name: found[name] for name in order})

    def assigned(self, recorded: Mapping[str, Sequence[str]]) -> EvaluationSet:
        """Returns the same, each image in the split that a run recorded it for.

        Args:
            recorded: The digests of a run's images, by split; see `assign_by_digest`.
        """
        return replace(self, splits=assign_by_digest(self.splits, recorded))

    def joined(self) -> EvaluationSet:
        """Returns the same with all images in the one split `all`."""
        return replace(self, splits={"all": join_examples(list(self.splits.values()))})


def open_evaluation_set(data: str, config: DataConfig, tasks: Sequence[Task]) -> EvaluationSet:
    """Reads labeled images to measure a model on, and decodes every one once.

    The classes are the model's by their names. One image is enough, `val/` or
    `test/` may stand alone, and what cannot be decoded is left out, however much
    it is. Nothing is divided.

    Args:
        data: DATA as the command line takes it.
        config: What to leave out.
        tasks: The model's, which know their classes.

    Raises:
        DataError: There are no images, or some of a class the model does not know.
        UnknownNameError: TFDS knows no such data set.
    """
    listing = exclude(_read_any_split(data, tasks), config.exclude)
    check_images(data, listing)
    if tasks[0].bare:
        listing = _with_classes(data, listing, tasks[0].class_names)
    listing = bind_tasks(data, listing, tasks)
    facts = scan(listing)
    everything = [fact for found in facts.values() for fact in found]
    # A missing file is a mistake in the table whatever the limit.
    check_decodable(data, everything, 1.0)
    listing, kept = decodable(listing, facts)
    if not kept:
        first = everything[0]
        raise UndecodableError(
            f"None of the {len(everything)} files in {data!r} can be decoded",
            received=f"{first.name} ({first.problem})",
            mend="check the path; `zoo audit` lists all",
        )
    skipped = [Remark(fact.name, fact.problem) for fact in everything if fact.problem]
    return EvaluationSet(
        name=data,
        class_names=listing.class_names,
        tasks=listing.tasks,
        splits=listing.splits,
        skipped=(*skipped, *listing.outside),
        suspects=find_suspects(kept),
    )


def _with_classes(data: str, listing: Listing, class_names: tuple[str, ...]) -> Listing:
    """Returns the listing with its labels as indices into a model's classes."""
    import numpy as np

    used = sorted({label for e in listing.splits.values() for label in e.labels.tolist()})
    strange = [listing.class_names[i] for i in used if listing.class_names[i] not in class_names]
    if strange:
        some = ", ".join(strange[:5]) + (", …" if len(strange) > 5 else "")
        raise DataError(
            f"{data!r} has images of classes that the model does not know: {some}",
            expected=", ".join(class_names[:20]) + (", …" if len(class_names) > 20 else ""),
            received=", ".join(listing.class_names[i] for i in used[:20]),
            mend="rename these classes or move their images away",
        )
    relabel = np.full(len(listing.class_names), -1, dtype=np.int64)
    for label in used:
        relabel[label] = class_names.index(listing.class_names[label])
    splits = {name: replace(e, labels=relabel[e.labels]) for name, e in listing.splits.items()}
    return replace(listing, class_names=class_names, splits=splits)


def _read_any_split(data: str, tasks: Sequence[Task]) -> Listing:
    """Lists a data set, of which val/ or test/ may stand without train/."""
    import numpy as np

    kind = kind_of(data)
    folders = _judging_folders(Path(data)) if kind.name == "folder" else {}
    if not folders:
        return kind.listing(data, tasks)
    parts = {split: kind.read(str(folder)) for split, folder in folders.items()}
    class_names = tuple(sorted({name for part in parts.values() for name in part.class_names}))
    empty: list[str] = []
    outside: list[Remark] = []
    splits: dict[str, Examples] = {}
    for split, part in parts.items():
        above = folders[split].name
        empty += [f"{above}/{name}" for name in part.empty]
        outside += [replace(remark, name=f"{above}/{remark.name}") for remark in part.outside]
        if part.splits:
            examples = join_examples(list(part.splits.values()))
            relabel = np.array([class_names.index(name) for name in part.class_names])
            splits[split] = replace(
                examples,
                names=tuple(f"{above}/{name}" for name in examples.names),
                labels=relabel[examples.labels],
            )
    return Listing(class_names, splits, tuple(empty), tuple(outside))


def _judging_folders(root: Path) -> dict[str, Path]:
    """Returns val/ and test/ where a folder holds those alone, with class folders in them."""
    try:
        folders = sorted(
            path
            for path in root.iterdir()
            if path.is_dir() and not path.name.startswith((".", "@", "__MACOSX"))
        )
        # Without a folder in it, `test` is a class like any other.
        nested = all(any(below.is_dir() for below in folder.iterdir()) for folder in folders)
    except OSError:
        return {}  # The reader says what is the matter.
    splits = {SPLIT_NAMES.get(folder.name.lower(), ""): folder for folder in folders}
    alone = nested and set(splits) <= {"val", "test"} and len(splits) == len(folders)
    return splits if alone else {}
