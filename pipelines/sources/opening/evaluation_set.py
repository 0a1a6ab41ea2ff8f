"""Open labeled images to evaluate a model on, new ones or those it was trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.sources.config import DataConfig
from pipelines.sources.examining.kept_images import KeptImages
from pipelines.sources.listing.catalog import kind_of
from pipelines.sources.opening.scanned_dataset import ScannedDataset, scan_dataset
from pipelines.sources.source import Examples, Finding, Listing, join_examples
from pipelines.sources.split_names import split_of
from pipelines.sources.splitting.split import assign_by_digest, split_listing
from zoo.errors import UndecodableError
from zoo.models.class_names import ClassNames
from zoo.tasks import Task, classification

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class EvaluationSet:
    """Labeled images to evaluate a model on; all decode and have classes the model knows.

    Unlike in a `Source`, any class and any split may be absent.

    Args:
        name: DATA as the user wrote it.
        class_names: The model's class names, which the labels index; with several
            tasks, the strata of a split.
        tasks: The model's tasks.
        splits: `all`, or those of train, val and test that the data set has.
        skipped: Images that were left out because they do not decode, and what the
            reader ignored.
        damaged: Images that are used although their files are damaged.
        outliers: Images that are used and look unlike the rest.
    """

    name: str
    class_names: tuple[str, ...]
    tasks: tuple[Task, ...]
    splits: dict[str, Examples]
    skipped: tuple[Finding, ...] = ()
    damaged: tuple[Finding, ...] = ()
    outliers: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, data: str, scanned: ScannedDataset, *, mend: str) -> EvaluationSet:
        """Returns the images of a data set that decode.

        Args:
            data: DATA as the user wrote it.
            scanned: All of its images.
            mend: What the user can do where none decodes.

        Raises:
            UndecodableError: None decodes.
        """
        if not scanned.decoded:
            first = scanned.undecodable[0]
            raise UndecodableError(
                f"None of the {len(scanned.scans)} files in {data!r} can be decoded",
                received=f"{first.name} ({first.reason})",
                mend=mend,
            )
        return cls(
            name=data,
            class_names=scanned.decodable.class_names,
            tasks=scanned.decodable.tasks,
            splits=scanned.decodable.splits,
            skipped=scanned.skipped,
            damaged=scanned.damaged,
            outliers=scanned.outliers,
        )

    def split(self, config: DataConfig, *, seed: int) -> EvaluationSet:
        """Returns the same images, split as `open_source` splits them for training.

        Args:
            config: The shares of the splits.
            seed: Seed of the split.

        Raises:
            DataError: A class has fewer images than there are splits.
        """
        if not {"all", "train"} & set(self.splits):
            return self
        found = split_listing(Listing(self.class_names, self.splits), config, seed)
        order = [name for name in ("train", "val", "test") if name in found]
        return replace(self, splits={name: found[name] for name in order})

    def assigned(self, recorded: Mapping[str, Sequence[str]]) -> EvaluationSet:
        """Returns the same images, each in the split that a run recorded it for.

        Args:
            recorded: The digests of a run's images, by split; see `assign_by_digest`.
        """
        return replace(self, splits=assign_by_digest(self.splits, recorded))

    def with_validation(
        self, find: Callable[[Sequence[str]], npt.NDArray[np.int64]]
    ) -> EvaluationSet:
        """Returns the same images, some of the training images in the split `val` too.

        A data set that has validation images which the run does not know keeps these.

        Args:
            find: Which of the images with these digests are also validation images.
        """
        train = self.splits.get("train")
        if train is None or "val" in self.splits or not len(found := find(train.digests)):
            return self
        val = train if len(found) == len(train) else train.take(found)
        return replace(self, splits={"train": train, "val": val, **self.splits})

    def joined(self) -> EvaluationSet:
        """Returns the same images in the one split `all`."""
        return replace(self, splits={"all": join_examples(list(self.splits.values()))})


def open_evaluation_set(
    data: str,
    config: DataConfig,
    tasks: Sequence[Task],
    names: ClassNames | None = None,
    *,
    kept: KeptImages | None = None,
) -> EvaluationSet:
    """Reads labeled images to evaluate a model on, and decodes each once.

    Classes are matched to the model's by name. One image is enough, `val/` or `test/`
    may stand alone, and any number of files may fail to decode and are left out. Images
    without splits of their own are not split.

    Args:
        data: DATA as the command line takes it.
        config: Images to exclude, and how a table names columns and files.
        tasks: The model's tasks, with their classes.
        names: Names of a plain classifier's classes by which the images may be labeled too;
            the result has its classes by id if all labels are ids, else by readable name.
        kept: Takes the decoded images of files that were read, as long as there is room.

    Raises:
        DataError: There are no images, or some have a class that the model does not
            know.
        UnknownNameError: TFDS has no such data set.
    """
    listing = list_any_split(data, tasks, config)
    if names is not None:
        listing = _match_names(listing, names)
        tasks = classification(listing.class_names)
    scanned = scan_dataset(data, listing, tasks, config, trainable=False, kept=kept)
    return EvaluationSet.of(data, scanned, mend="check the path; `zoo audit` lists all")


def _match_names(listing: Listing, names: ClassNames) -> Listing:
    """Returns a listing whose labels index all classes of a model.

    Raises:
        DataError: An image has a class that the model does not know, or may be of several.
    """
    import numpy as np

    used = sorted({label for e in listing.splits.values() for label in e.labels.tolist()})
    given = [listing.class_names[label] for label in used]
    relabel = np.full(len(listing.class_names), -1, np.int64)
    relabel[used] = names.match(given)
    class_names = names.ids if set(given) <= set(names.ids) else names.readable
    splits = {name: replace(e, labels=relabel[e.labels]) for name, e in listing.splits.items()}
    return replace(listing, class_names=class_names, splits=splits)


def list_any_split(data: str, tasks: Sequence[Task], config: DataConfig) -> Listing:
    """Lists a data set; in a folder, val/ and test/ may stand without train/.

    Args:
        data: DATA as the command line takes it.
        tasks: The tasks of the model.
        config: Which folders are classes, and how a table names columns and files.

    Raises:
        DataError: The data set cannot be read.
    """
    import numpy as np

    kind = kind_of(data)
    folders = _held_out_folders(Path(data)) if kind.name == "folder" else {}
    if not folders:
        return kind.list_images(data, tasks, config)
    parts = {split: kind.read(str(folder), config) for split, folder in folders.items()}
    class_names = tuple(sorted({name for part in parts.values() for name in part.class_names}))
    empty: list[str] = []
    ignored: list[Finding] = []
    splits: dict[str, Examples] = {}
    for split, part in parts.items():
        parent = folders[split].name
        empty += [f"{parent}/{name}" for name in part.empty]
        ignored += [replace(r, name=f"{parent}/{r.name}") for r in part.ignored]
        if part.splits:
            examples = join_examples(list(part.splits.values()))
            relabel = np.array([class_names.index(name) for name in part.class_names])
            splits[split] = replace(
                examples,
                names=tuple(f"{parent}/{name}" for name in examples.names),
                labels=relabel[examples.labels],
            )
    return Listing(class_names, splits, tuple(empty), tuple(ignored))


def _held_out_folders(root: Path) -> dict[str, Path]:
    """Returns val/ and test/ by split, if a folder holds only these, with class folders in them."""
    try:
        folders = sorted(
            path
            for path in root.iterdir()
            if path.is_dir() and not path.name.startswith((".", "@", "__MACOSX"))
        )
        # Without a folder in it, `test` is the folder of a class.
        nested = all(any(below.is_dir() for below in folder.iterdir()) for folder in folders)
    except OSError:
        return {}  # The reader reports the error.
    splits = {split_of(folder.name): folder for folder in folders}
    held_out = nested and set(splits) <= {"val", "test"} and len(splits) == len(folders)
    return splits if held_out else {}
