"""Source: labeled, encoded images in their splits, wherever they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.tasks import LABEL, Task

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


SEPARATOR = "|"
"""Stands between the labels of an image in a column of several."""


@dataclass(frozen=True)
class Examples:
    """The images of one split, still encoded, with their labels.

    Every source is brought to this form, so that one transform serves them all.

    Args:
        names: What to call each image before a user: its path relative to the
            source, or, where there are no files, its number below the set and the
            split, as `digits/all/00000`. All differ, and all are valid Unicode.
        labels: int64 [N], indices into the source's class names.
        files: The files, when there are any; read when needed.
        encoded: The bytes of each image, when there are no files.
        digests: The SHA-256 of each image's bytes, hexadecimal; empty before the
            images were scanned. What is computed from an image is kept under it.
        shapes: int64 [N, 2], height and width of each decoded image in pixels; None
            before the images were scanned.
        columns: What else is said of the images, as a table would write it: N texts
            a column, by its name. Read only where tasks ask for it.
        targets: What each task is to predict, by its name: int64 [N] classes, float32
            [N, L] labels, each 0 or 1, or float32 [N] numbers; empty before
            `task_columns.bind_tasks`.
    """

    names: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    files: tuple[Path, ...] | None = None
    encoded: tuple[bytes, ...] | None = None
    digests: tuple[str, ...] = ()
    shapes: npt.NDArray[np.int64] | None = None
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    targets: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> bytes:
        """Returns the bytes of one image, a JPEG, PNG, GIF, BMP or WebP."""
        if self.files is not None:
            return self.files[index].read_bytes()
        if self.encoded is None:
            raise ValueError("Examples need files or encoded bytes.")
        return self.encoded[index]

    def take(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> Examples:
        """Returns the examples at `indices`, in that order."""
        chosen = [int(i) for i in indices]
        return Examples(
            names=tuple(self.names[i] for i in chosen),
            labels=self.labels[chosen],
            files=None if self.files is None else tuple(self.files[i] for i in chosen),
            encoded=None if self.encoded is None else tuple(self.encoded[i] for i in chosen),
            digests=tuple(self.digests[i] for i in chosen) if self.digests else (),
            shapes=None if self.shapes is None else self.shapes[chosen],
            columns={k: tuple(texts[i] for i in chosen) for k, texts in self.columns.items()},
            targets={name: values[chosen] for name, values in self.targets.items()},
        )


def join_examples(parts: Sequence[Examples]) -> Examples:
    """Returns the examples of one source's splits as one.

    Args:
        parts: The splits, one or more.
    """
    import numpy as np

    files = [file for part in parts for file in part.files or ()]
    encoded = [content for part in parts for content in part.encoded or ()]
    shapes = [part.shapes for part in parts if part.shapes is not None]
    return Examples(
        names=tuple(name for part in parts for name in part.names),
        labels=np.concatenate([part.labels for part in parts]),
        files=tuple(files) if parts[0].files is not None else None,
        encoded=tuple(encoded) if parts[0].encoded is not None else None,
        digests=tuple(digest for part in parts for digest in part.digests),
        shapes=np.concatenate(shapes) if len(shapes) == len(parts) else None,
        columns={k: sum((part.columns[k] for part in parts), ()) for k in parts[0].columns},
        targets={k: np.concatenate([p.targets[k] for p in parts]) for k in parts[0].targets},
    )


@dataclass(frozen=True)
class Remark:
    """Something about an image, or a folder, that its owner should know.

    Args:
        name: The image, as `Examples.names` calls it, or the folder with a `/` after it.
        reason: What is the matter with it, in a few words.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Source:
    """A labeled data set, checked: every example decodes.

    Args:
        name: As the user wrote it.
        class_names: In the order of the labels. With named tasks, what the division is
            stratified by.
        tasks: What a model is to learn.
        train: What weights are fitted on.
        val: What stops training and chooses between runs.
        test: What nothing is chosen by, or None.
        skipped: What was left out, with the reason: first the images that cannot be
            decoded, then what `Listing.outside` holds.
        suspects: Kept, though they look unlike the rest.
    """

    name: str
    class_names: tuple[str, ...]
    tasks: tuple[Task, ...]
    train: Examples
    val: Examples
    test: Examples | None = None
    skipped: tuple[Remark, ...] = ()
    suspects: tuple[Remark, ...] = ()

    @property
    def splits(self) -> dict[str, Examples]:
        """The splits there are, by name, in the order train, val, test."""
        named = {"train": self.train, "val": self.val, "test": self.test}
        return {name: examples for name, examples in named.items() if examples is not None}

    @property
    def digest(self) -> str:
        """SHA-256 of what is trained and measured on: images, labels, splits and tasks."""
        digest = hashlib.sha256(repr(self.class_names).encode())
        # The class names and the labels say all of a plain classifier's task.
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
    """What a reader found before anything was decoded or split.

    Args:
        class_names: In the order of the labels.
        splits: `all` alone where the source has no split of its own, else any
            of `train`, `val`, `test`.
        empty: Class folders that hold nothing, as `train/ants`.
        outside: Images and folders that lie where no class claims them, and rows of
            a table that repeat another.
        column_names: Every column the data set has, read or not.
        tasks: Those whose targets the examples have; empty before
            `task_columns.bind_tasks`.
    """

    class_names: tuple[str, ...]
    splits: dict[str, Examples] = field(default_factory=dict)
    empty: tuple[str, ...] = ()
    outside: tuple[Remark, ...] = ()
    column_names: tuple[str, ...] = (LABEL,)
    tasks: tuple[Task, ...] = ()
