"""Examples, Source and Listing: labeled, encoded images of any data set, split or not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipelines.sources.columns import Digests, Files, Texts
from zoo.tasks import LABEL, Task

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipelines.sources.examining.kept_images import KeptImages
    from pipelines.sources.examining.scan_table import ScanTable
    from tuning.optimization.distillation import SoftTargets


Item = TypeVar("Item")

SEPARATOR = "|"
"""Separates the labels of an image in a column of a multi-label task."""

UNLABELED = ("images",)
"""Class names of images without labels: one class."""


@dataclass(frozen=True)
class Examples:
    """The encoded images of one split with their labels.

    All readers return this form, so that all later steps are the same for every kind
    of data set. It takes any sequences, and keeps names, files and digests as columns of
    `pipelines.sources.columns`: 100 bytes an image beside its path, however many there are.

    Args:
        names: Unique names for messages, valid Unicode: paths relative to the data set,
            or, without files, numbers below the data set and split, such as
            `digits/all/00000`.
        labels: int64 [N], indices into the class names of the data set.
        files: The file of each image, if there are files; read on demand.
        encoded: The bytes of each image, if there are no files.
        digests: Hexadecimal SHA-256 digest of each image's bytes; empty before the
            scan. Features and decoded images are cached by it.
        shapes: int64 [N, 2], height and width of each image in pixels; None before the
            scan.
        stamps: uint64 [N], `ledger.stamp_files` of each file as it was scanned; 0 where that
            would not show a change, None before the scan.
        kept: Images that the scan decoded, some of these and perhaps others; None if it was
            not to keep any.
        bits: uint8 [N], bits that the largest value of each image needs, 8 to 16; None
            before the scan.
        groups: int64 [N], the same number for images that belong together by their owner's
            word, across the splits of a data set; -1 for one that stands alone, None if
            nothing is said.
        group_names: The name of each of these groups, by its number.
        columns: Further columns of the data set by name, N texts each. Only the columns
            that tasks need are read.
        targets: Targets of each task by name; empty before `task_columns.bind_tasks`.
            int64 [N] classes, float32 [N, L] labels, each 0 or 1, or float32 [N] numbers.
        soft_targets: What a teacher says of each image; None without a teacher.
    """

    names: Sequence[str]
    labels: npt.NDArray[np.int64]
    files: Sequence[Path] | None = None
    encoded: tuple[bytes, ...] | None = None
    digests: Sequence[str] = ()
    shapes: npt.NDArray[np.int64] | None = None
    bits: npt.NDArray[np.uint8] | None = None
    stamps: npt.NDArray[np.uint64] | None = None
    kept: KeptImages | None = None
    groups: npt.NDArray[np.int64] | None = None
    group_names: tuple[str, ...] = ()
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    targets: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    soft_targets: SoftTargets | None = None

    def __post_init__(self) -> None:
        columns: dict[str, object] = {
            "names": Texts.of(self.names),
            "files": None if self.files is None else Files.of(self.files),
            "digests": Digests.of(self.digests),
        }
        for name, column in columns.items():
            object.__setattr__(self, name, column)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def binary_digests(self) -> npt.NDArray[np.uint8]:
        """The digests as uint8 [N, 32], for arithmetic on all of them."""
        return Digests.of(self.digests).binary

    def read(self, index: int) -> bytes:
        """Returns the bytes of an image in JPEG, PNG, GIF, BMP or WebP format."""
        if self.files is not None:
            with open(Files.of(self.files).path(index), "rb") as file:
                return file.read()
        if self.encoded is None:
            raise ValueError("Examples need files or encoded bytes.")
        return self.encoded[index]

    def take(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> Examples:
        """Returns the examples at `indices`, in that order."""
        import numpy as np

        chosen = np.asarray(indices, np.int64)
        names = Texts.of(self.names)
        taken = names.take(chosen)
        files: Files | None = None
        if self.files is not None:
            files = Files.of(self.files)
            # A reader of a folder makes names of the paths: one column serves both.
            shared = files.encoded is names.encoded
            files = Files(files.root, taken.encoded) if shared else files.take(chosen)
        return Examples(
            names=taken,
            labels=self.labels[chosen],
            files=files,
            encoded=None if self.encoded is None else _pick(self.encoded, chosen),
            digests=Digests.of(self.digests).take(chosen) if self.digests else (),
            shapes=None if self.shapes is None else self.shapes[chosen],
            bits=None if self.bits is None else self.bits[chosen],
            stamps=None if self.stamps is None else self.stamps[chosen],
            kept=self.kept,
            groups=None if self.groups is None else self.groups[chosen],
            group_names=self.group_names,
            columns={name: _pick(texts, chosen) for name, texts in self.columns.items()},
            targets={name: values[chosen] for name, values in self.targets.items()},
            soft_targets=self.soft_targets and self.soft_targets.take(chosen),
        )

    def target(self, task: Task) -> npt.NDArray[Any]:
        """Returns the targets of a task; those of the nameless task are the labels."""
        return self.targets[task.name] if task.name else self.labels


def _pick(items: tuple[Item, ...], indices: npt.NDArray[np.int64]) -> tuple[Item, ...]:
    return tuple(map(items.__getitem__, indices.tolist()))


def join_examples(parts: Sequence[Examples]) -> Examples:
    """Concatenates the examples of several splits of one data set.

    Args:
        parts: The splits, at least one.
    """
    import numpy as np

    files = [Files.of(part.files) for part in parts if part.files is not None]
    encoded = [content for part in parts for content in part.encoded or ()]
    shapes = [part.shapes for part in parts if part.shapes is not None]
    bits = [part.bits for part in parts if part.bits is not None]
    stamps = [part.stamps for part in parts if part.stamps is not None]
    groups = [part.groups for part in parts if part.groups is not None]
    return Examples(
        names=Texts.join([Texts.of(part.names) for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        files=Files.join(files) if files else None,
        encoded=tuple(encoded) if parts[0].encoded is not None else None,
        digests=Digests.join([Digests.of(part.digests) for part in parts]),
        shapes=np.concatenate(shapes) if len(shapes) == len(parts) else None,
        bits=np.concatenate(bits) if len(bits) == len(parts) else None,
        stamps=np.concatenate(stamps) if len(stamps) == len(parts) else None,
        kept=parts[0].kept if all(part.kept is parts[0].kept for part in parts) else None,
        groups=np.concatenate(groups) if len(groups) == len(parts) else None,
        group_names=parts[0].group_names if len(groups) == len(parts) else (),
        columns={k: sum((part.columns[k] for part in parts), ()) for k in parts[0].columns},
        targets={k: np.concatenate([p.targets[k] for p in parts]) for k in parts[0].targets},
        soft_targets=_join_soft_targets([part.soft_targets for part in parts]),
    )


def _join_soft_targets(parts: Sequence[SoftTargets | None]) -> SoftTargets | None:
    given = [part for part in parts if part is not None]
    return type(given[0]).join(given) if len(given) == len(parts) else None


@dataclass(frozen=True)
class Finding:
    """A problem of an image or a folder.

    Args:
        name: Name of the image as in `Examples.names`, or of the folder with a trailing
            `/`.
        reason: The problem in a few words.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Source:
    """A validated and split data set to train on; all images decode.

    Args:
        name: DATA as the user wrote it.
        class_names: In the order of the labels; with several tasks, the strata of the
            split.
        tasks: The tasks to learn.
        train: Images to fit weights on.
        val: Images for early stopping and for the choice between runs.
        test: Images for the final metrics only, or None.
        skipped: What was left out, with the reason: images that do not decode, then
            `Listing.ignored`.
        damaged: Images that are used although their files are damaged, with the damage.
        outliers: Images that are used and look unlike the rest.
        remarks: What the owner should know of the labels, splits and copies, a line each.
        own_val: Whether the data set came with these validation images.
        teacher: SHA-256 digest of the model that the training images' soft targets are from;
            empty without a teacher.
    """

    name: str
    class_names: tuple[str, ...]
    tasks: tuple[Task, ...]
    train: Examples
    val: Examples
    test: Examples | None = None
    skipped: tuple[Finding, ...] = ()
    damaged: tuple[Finding, ...] = ()
    outliers: tuple[Finding, ...] = ()
    remarks: tuple[str, ...] = ()
    own_val: bool = False
    teacher: str = ""

    @property
    def splits(self) -> dict[str, Examples]:
        """The splits by name, in the order train, val, test."""
        named = {"train": self.train, "val": self.val, "test": self.test}
        return {name: examples for name, examples in named.items() if examples is not None}

    def without_pixels(self) -> Source:
        """Returns the same without the images that this process keeps decoded, to send it on."""
        test = self.test and replace(self.test, kept=None)
        train, val = replace(self.train, kept=None), replace(self.val, kept=None)
        return replace(self, train=train, val=val, test=test)

    @property
    def digest(self) -> str:
        """SHA-256 digest of the images, labels, splits and tasks, and of the teacher's model."""
        digest = hashlib.sha256(repr(self.class_names).encode())
        if self.teacher:
            digest.update(f"{self.teacher}\n".encode())
        # Class names and labels already cover the task of a plain classifier.
        named = [task for task in self.tasks if not task.bare]
        for task in named:
            digest.update(f"{task}\n".encode())
        for split, examples in self.splits.items():
            digest.update(f"{split}\n".encode())
            for row in zip(examples.names, examples.labels, examples.digests, strict=True):
                digest.update(f"{row}\n".encode())
            for task in named:
                digest.update(f"{task.name}\n".encode() + examples.targets[task.name].tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Listing:
    """The images that a reader found, before they are decoded and split.

    Args:
        class_names: In the order of the labels.
        splits: `all` if the data set has no splits, else any of `train`, `val`, `test`.
        empty: Class folders without files, such as `train/ants`.
        ignored: Images and folders outside the class folders, and repeated rows of a
            table.
        hints: What the owner should know of how the data set was read, a line each.
        column_names: All columns of the data set, read or not.
        tasks: The tasks whose targets the examples have; empty before
            `task_columns.bind_tasks`.
        scans: What another job found in the images, which then have digests; None if they
            are yet to be scanned.
    """

    class_names: tuple[str, ...]
    splits: dict[str, Examples] = field(default_factory=dict)
    empty: tuple[str, ...] = ()
    ignored: tuple[Finding, ...] = ()
    hints: tuple[str, ...] = ()
    column_names: tuple[str, ...] = (LABEL,)
    tasks: tuple[Task, ...] = ()
    scans: ScanTable | None = None
