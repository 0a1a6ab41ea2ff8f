"""Targets: the right answers to a recipe's tasks, taken from the columns of a data set.

A column holds texts, as a table has them. What they mean depends on the task: the
name of a class, labels with a `|` between them (`red|round`, perhaps none), or a number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipelines.sources.source import SEPARATOR, Examples, Listing
from pipelines.sources.validation import check_name
from zoo.errors import DataError, EmptyClassError, SingleClassError, UnseenClassError
from zoo.tasks import LABEL, Task

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_FEW = 3
"""A stratum of fewer images could not be divided into train, val and test."""


def bind_tasks(data: str, listing: Listing, tasks: Sequence[Task]) -> Listing:
    """Turns the columns that tasks ask for into targets.

    A task that knows its classes keeps them, as one of a trained model does; for
    another they are what the column holds, in the order of their names.

    The images are then of the classes by which they are divided: those of the first
    task of single labels, or else the rarest label each image has (after Sechidis et
    al., 2011, https://doi.org/10.1007/978-3-642-23808-6_10), so that each part sees
    the rare ones too.

    Args:
        data: As the user wrote it.
        listing: What a reader found, those columns read.
        tasks: At least one. That of a plain classifier has the labels that the reader
            found, or those it was given by `evaluation_set` for a trained model.

    Raises:
        DataError: A column is not there, or a text in it is no answer to its task.
    """
    if tasks[0].bare:
        return _bind_classes(listing, tasks[0])
    for task in tasks:
        if task.column not in listing.column_names:
            raise DataError(
                f"{data!r} has no column {task.column!r}, which the task {task.name!r} asks for",
                expected=", ".join(listing.column_names) or "a column beside path",
                mend=f"--set tasks.{task.name}.column=NAME names another",
            )
    texts = {
        task.name: {name: _texts(listing, e, task.column) for name, e in listing.splits.items()}
        for task in tasks
    }
    bound: list[Task] = []
    targets: dict[str, dict[str, npt.NDArray[Any]]] = {name: {} for name in listing.splits}
    for task in tasks:
        names, parse = _READERS[task.kind](data, task, texts[task.name], listing)
        bound.append(replace(task, class_names=names))
        for split, found in texts[task.name].items():
            targets[split][task.name] = parse(found, listing.splits[split])
    splits = {
        name: replace(examples, columns={}, targets=targets[name])
        for name, examples in listing.splits.items()
    }
    return _stratified(replace(listing, splits=splits, tasks=tuple(bound)))


def _bind_classes(listing: Listing, task: Task) -> Listing:
    """Takes the labels that a reader found for the task of a plain classifier."""
    splits = {
        name: replace(examples, targets={task.name: examples.labels})
        for name, examples in listing.splits.items()
    }
    return replace(listing, splits=splits, tasks=(replace(task, class_names=listing.class_names),))


def check_tasks(data: str, listing: Listing, *, found: str = "image") -> None:
    """Checks that training sees every class and label of every task, and two or more classes.

    Args:
        data: As the user wrote it.
        listing: As `bind_tasks` returned it, or what is left of it.
        found: What a class lacks, in the message.

    Raises:
        EmptyClassError: A class has no image.
        UnseenClassError: A class or label stands in val or test and not in train.
        SingleClassError: A task of single labels has one class, or one of several
            labels none.
        DataError: A class's name cannot stand on a line of its own.
    """
    fitted = listing.splits.get("train", listing.splits.get("all"))
    for task in listing.tasks:
        for name in task.class_names:
            check_name(data, name)
        least = {"single_label": 2, "multi_label": 1}.get(task.kind, 0)
        if len(task.class_names) < least:
            raise SingleClassError(
                f"The column {task.column!r} of {data!r} leaves the task {task.name!r} nothing "
                "to tell apart",
                expected="two classes or more" if least == 2 else "a label or more",
                received=", ".join(task.class_names) or "none",
                mend=f"leave [tasks.{task.name}] out",
            )
        if fitted is None or not least:
            continue
        seen = count_classes(fitted, task)
        everywhere = _count_all(listing, task)
        for label, name in enumerate(task.class_names):
            if not everywhere[label]:
                raise EmptyClassError(
                    f"{name!r} of the column {task.column!r} of {data!r} has no {found}",
                    expected="one or more",
                )
            if not seen[label]:
                raise UnseenClassError(
                    f"{name!r} of the column {task.column!r} of {data!r} has no image in train",
                    expected="every class and label in train",
                    mend="add some of its images to train, or name them in data.exclude",
                )


def fit_tasks(data: str, tasks: Sequence[Task], train: Examples) -> tuple[Task, ...]:
    """Returns the tasks, those of numbers with mean and deviation over the training images.

    Args:
        data: As the user wrote it.
        tasks: As `bind_tasks` left them.
        train: The training images.

    Raises:
        DataError: All training images have the same number.
        UnseenClassError: Training does not see a label.
    """
    fitted = []
    for task in tasks:
        if task.kind == "regression":
            values = train.targets[task.name].astype("float64")
            mean, std = float(values.mean()), float(values.std())
            if not std > 0:
                raise DataError(
                    f"The column {task.column!r} of {data!r} has the same number for every "
                    "training image, so there is nothing to learn",
                    expected="numbers that differ",
                    received=f"{mean:g}",
                    mend=f"leave [tasks.{task.name}] out",
                )
            task = replace(task, mean=mean, std=std)
        fitted.append(task)
    if not tasks[0].bare:
        check_tasks(data, Listing((), {"train": train}, tasks=tuple(fitted)))
    return tuple(fitted)


def count_classes(examples: Examples, task: Task) -> npt.NDArray[np.int64]:
    """Returns how many images have each class or label of a task, int64 [C]."""
    import numpy as np

    target = examples.targets[task.name]
    if task.kind == "single_label":
        return np.bincount(target, minlength=len(task.class_names))
    return target.sum(axis=0).astype(np.int64)


def _count_all(listing: Listing, task: Task) -> npt.NDArray[np.int64]:
    counts = [count_classes(examples, task) for examples in listing.splits.values()]
    return counts[0] + sum(counts[1:])


_Texts = dict[str, tuple[str, ...]]
_Parse = Callable[[tuple[str, ...], Examples], "npt.NDArray[Any]"]


def _texts(listing: Listing, examples: Examples, column: str) -> tuple[str, ...]:
    if column in examples.columns:
        return examples.columns[column]
    if column != LABEL:
        raise ValueError(f"The reader passed over the column {column!r}.")
    return tuple(listing.class_names[label] for label in examples.labels)


def _read_classes(
    data: str, task: Task, texts: _Texts, listing: Listing
) -> tuple[tuple[str, ...], _Parse]:
    import numpy as np

    for split, found in texts.items():
        for name, text in zip(listing.splits[split].names, found, strict=True):
            if not text:
                raise DataError(
                    f"{name} of {data!r} has nothing in the column {task.column!r}",
                    expected=f"a class, which the task {task.name!r} asks for",
                    mend="fill it in",
                )
    names = _names(data, task, {text for found in texts.values() for text in found})
    index = {name: label for label, name in enumerate(names)}
    return names, lambda found, _: np.array([index[text] for text in found], np.int64)


def _read_labels(
    data: str, task: Task, texts: _Texts, listing: Listing
) -> tuple[tuple[str, ...], _Parse]:
    import numpy as np

    names = _names(data, task, {p for found in texts.values() for t in found for p in _split(t)})
    index = {name: label for label, name in enumerate(names)}

    def parse(found: tuple[str, ...], examples: Examples) -> npt.NDArray[np.float32]:
        target = np.zeros((len(found), len(names)), np.float32)
        for row, text in enumerate(found):
            target[row, [index[part] for part in _split(text)]] = 1
        return target

    return names, parse


def _read_numbers(
    data: str, task: Task, texts: _Texts, listing: Listing
) -> tuple[tuple[str, ...], _Parse]:
    import math

    import numpy as np

    def parse(found: tuple[str, ...], examples: Examples) -> npt.NDArray[np.float32]:
        numbers = []
        for name, text in zip(examples.names, found, strict=True):
            try:
                number = float(text)
            except ValueError:
                number = math.nan
            if not abs(number) < 1e30:
                raise DataError(
                    f"{name} of {data!r} has no number in the column {task.column!r}",
                    expected=f"a number, which the task {task.name!r} asks for",
                    received=repr(text[:40]),
                    mend="correct it, or choose another kind of task",
                )
            numbers.append(number)
        return np.array(numbers, np.float32)

    return (), parse


_READERS = {
    "single_label": _read_classes,
    "multi_label": _read_labels,
    "regression": _read_numbers,
}


def _split(text: str) -> list[str]:
    return [part for part in (part.strip() for part in text.split(SEPARATOR)) if part]


def _names(data: str, task: Task, found: set[str]) -> tuple[str, ...]:
    """Returns a task's classes, in order; what a model knows, no data can add to."""
    if not task.class_names:
        return tuple(sorted(found))
    if strange := sorted(found - set(task.class_names)):
        known = task.class_names
        raise DataError(
            f"the column {task.column!r} of {data!r} has classes that the model does not know: "
            + ", ".join(strange[:5])
            + (", …" if len(strange) > 5 else ""),
            expected=", ".join(known[:20]) + (", …" if len(known) > 20 else ""),
            mend="rename these classes or take their images away",
        )
    return task.class_names


def _stratified(listing: Listing) -> Listing:
    """Returns the listing with the classes by which it is to be divided."""
    import numpy as np

    single = [task for task in listing.tasks if task.kind == "single_label"]
    several = [task for task in listing.tasks if task.kind == "multi_label"]
    if single:
        splits = {
            name: replace(examples, labels=examples.targets[single[0].name])
            for name, examples in listing.splits.items()
        }
        return replace(listing, class_names=single[0].class_names, splits=splits)
    if not several:
        zeros = {
            n: replace(e, labels=np.zeros(len(e), np.int64)) for n, e in listing.splits.items()
        }
        return replace(listing, class_names=("images",), splits=zeros)
    names = several[0].class_names
    counts = _count_all(listing, several[0])
    rarest = {
        split: [
            min(np.flatnonzero(row).tolist(), key=lambda label: (counts[label], label), default=-1)
            for row in examples.targets[several[0].name]
        ]
        for split, examples in listing.splits.items()
    }
    sizes = Counter(label for labels in rarest.values() for label in labels)
    large = [label for label in range(len(names)) if sizes[label] >= _FEW]
    strata = {label: position for position, label in enumerate(large)}
    left = sum(size for label, size in sizes.items() if label not in strata)
    # What is of no stratum of its own forms the last, or joins the first.
    other = 0 if strata and left < _FEW else len(large)
    splits = {
        split: replace(
            examples,
            labels=np.array([strata.get(label, other) for label in rarest[split]], np.int64),
        )
        for split, examples in listing.splits.items()
    }
    return replace(listing, class_names=(*(names[i] for i in large), "others"), splits=splits)
