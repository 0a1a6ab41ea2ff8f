"""Read the targets of tasks from the columns of a data set.

A column holds text, as in a table. The kind of the task determines its meaning: the
name of a class, labels separated by `|` (`red|round`, perhaps none), or a number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipelines.sources.checking.validation import check_class_name
from pipelines.sources.exclusion import quote_exclude
from pipelines.sources.source import SEPARATOR, UNLABELED, Examples, Listing
from pipelines.sources.spelling import to_nfc
from zoo.errors import DataError, EmptyClassError, SingleClassError, UnseenClassError
from zoo.tasks import LABEL, Task

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_MIN_STRATUM = 3
"""Images that a stratum needs to be split into train, val and test."""


def bind_tasks(data: str, listing: Listing, tasks: Sequence[Task]) -> Listing:
    """Converts the columns of tasks to targets.

    A task of a trained model keeps its classes. The classes of other tasks are the
    values in their column, sorted by name.

    With named tasks, the labels of the images become the strata of a split: the classes
    of the first single-label task, or else the rarest label of each image (after
    Sechidis et al., 2011, https://doi.org/10.1007/978-3-642-23808-6_10), so that each
    split has images of rare labels.

    Args:
        data: DATA as the user wrote it.
        listing: The images that a reader found, with these columns.
        tasks: At least one.

    Raises:
        DataError: A column is missing, or holds a value that does not fit its task.
    """
    if tasks[0].bare:
        return _bind_classes(data, listing, tasks[0])
    for task in tasks:
        if task.column not in listing.column_names:
            raise DataError(
                f"{data!r} has no column {task.column!r}, which the task {task.name!r} reads",
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
        names, parse = _PARSERS[task.kind](data, task, texts[task.name], listing)
        bound.append(replace(task, class_names=names))
        for split, found in texts[task.name].items():
            targets[split][task.name] = parse(found, listing.splits[split])
    splits = {
        name: replace(examples, columns={}, targets=targets[name])
        for name, examples in listing.splits.items()
    }
    return _stratified(replace(listing, splits=splits, tasks=tuple(bound)))


def _bind_classes(data: str, listing: Listing, task: Task) -> Listing:
    """Converts the labels that a reader found to the targets of a plain classifier."""
    if task.class_names:
        listing = _match_classes(data, listing, task.class_names)
    splits = {
        name: replace(examples, targets={task.name: examples.labels})
        for name, examples in listing.splits.items()
    }
    return replace(listing, splits=splits, tasks=(replace(task, class_names=listing.class_names),))


def _match_classes(data: str, listing: Listing, class_names: tuple[str, ...]) -> Listing:
    """Returns the listing with its labels as indices into the classes of a model."""
    import numpy as np

    used = sorted({label for e in listing.splits.values() for label in e.labels.tolist()})
    # A model may know its classes in another Unicode form.
    index = {to_nfc(name): label for label, name in enumerate(class_names)}
    unknown = [listing.class_names[i] for i in used if to_nfc(listing.class_names[i]) not in index]
    if unknown:
        some = ", ".join(unknown[:5]) + (", …" if len(unknown) > 5 else "")
        raise DataError(
            f"{data!r} has images of classes that the model does not know: {some}",
            expected=", ".join(class_names[:20]) + (", …" if len(class_names) > 20 else ""),
            received=", ".join(listing.class_names[i] for i in used[:20]),
            mend="rename these classes or move their images away",
        )
    relabel = np.full(len(listing.class_names), -1, dtype=np.int64)
    for label in used:
        relabel[label] = index[to_nfc(listing.class_names[label])]
    splits = {name: replace(e, labels=relabel[e.labels]) for name, e in listing.splits.items()}
    return replace(listing, class_names=class_names, splits=splits)


def check_tasks(data: str, listing: Listing, *, found: str = "image") -> None:
    """Checks that each class and label of each task has training images.

    Args:
        data: DATA as the user wrote it.
        listing: The images, after `bind_tasks`.
        found: What an empty class has none of, for the message.

    Raises:
        EmptyClassError: A class has no image.
        UnseenClassError: A class or label has images in val or test and none in train.
        SingleClassError: A single-label task has one class, or a multi-label task no
            label.
        DataError: The name of a class does not fit on a line of labels.txt.
    """
    fitted = listing.splits.get("train", listing.splits.get("all"))
    for task in listing.tasks:
        for name in task.class_names:
            check_class_name(data, name)
        min_classes = {"single_label": 2, "multi_label": 1}.get(task.kind, 0)
        if len(task.class_names) < min_classes:
            raise SingleClassError(
                f"The column {task.column!r} of {data!r} leaves the task {task.name!r} nothing "
                "to tell apart",
                expected="at least two classes" if min_classes == 2 else "at least one label",
                received=", ".join(task.class_names) or "none",
                mend=f"leave [tasks.{task.name}] out",
            )
        if fitted is None or not min_classes:
            continue
        train_counts = count_classes(fitted, task)
        counts = _count_all(listing, task)
        for label, name in enumerate(task.class_names):
            if not counts[label]:
                raise EmptyClassError(
                    f"{name!r} of the column {task.column!r} of {data!r} has no {found}",
                    expected="at least one",
                    mend=f"add images, or leave it out with --set {quote_exclude(name)}",
                )
        unseen = [n for n, count in zip(task.class_names, train_counts, strict=True) if not count]
        if unseen:
            raise UnseenClassError(
                f"{unseen[0]!r} of the column {task.column!r} of {data!r} has no image in train",
                expected="every class and label in train",
                mend="add some of its images to train, or leave out those with it by "
                f"--set {quote_exclude(*unseen)}",
            )


def fit_tasks(data: str, tasks: Sequence[Task], train: Examples) -> tuple[Task, ...]:
    """Returns the tasks, with mean and standard deviation of the training targets.

    Only regression tasks have these two.

    Args:
        data: DATA as the user wrote it.
        tasks: The tasks after `bind_tasks`.
        train: The training images.

    Raises:
        DataError: All training images have the same number.
        UnseenClassError: A label has no training image.
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
    """Returns the number of images with each class or label of a task, int64 [C]."""
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
        raise ValueError(f"The reader skipped the column {column!r}.")
    return tuple(listing.class_names[label] for label in examples.labels)


def _parse_classes(
    data: str, task: Task, texts: _Texts, listing: Listing
) -> tuple[tuple[str, ...], _Parse]:
    import numpy as np

    for split, found in texts.items():
        for name, text in zip(listing.splits[split].names, found, strict=True):
            if not text:
                raise DataError(
                    f"{name} of {data!r} has no value in the column {task.column!r}",
                    expected=f"a class for the task {task.name!r}",
                    mend="fill it in",
                )
    names = _resolve_class_names(data, task, {text for found in texts.values() for text in found})
    index = {name: label for label, name in enumerate(names)}
    return names, lambda found, _: np.array([index[text] for text in found], np.int64)


def _parse_labels(
    data: str, task: Task, texts: _Texts, listing: Listing
) -> tuple[tuple[str, ...], _Parse]:
    import numpy as np

    labels = {label for found in texts.values() for text in found for label in _split(text)}
    names = _resolve_class_names(data, task, labels)
    index = {name: label for label, name in enumerate(names)}

    def parse(found: tuple[str, ...], examples: Examples) -> npt.NDArray[np.float32]:
        target = np.zeros((len(found), len(names)), np.float32)
        for row, text in enumerate(found):
            target[row, [index[part] for part in _split(text)]] = 1
        return target

    return names, parse


def _parse_numbers(
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
                    expected=f"a number for the task {task.name!r}",
                    received=repr(text[:40]),
                    mend="correct it, or choose another kind of task",
                )
            numbers.append(number)
        return np.array(numbers, np.float32)

    return (), parse


_PARSERS = {
    "single_label": _parse_classes,
    "multi_label": _parse_labels,
    "regression": _parse_numbers,
}


def _split(text: str) -> list[str]:
    return [part for part in (part.strip() for part in text.split(SEPARATOR)) if part]


def _resolve_class_names(data: str, task: Task, found: set[str]) -> tuple[str, ...]:
    """Returns the classes of a task, in order; those of a trained model are fixed."""
    if not task.class_names:
        return tuple(sorted(found))
    if unknown := sorted(found - set(task.class_names)):
        known = task.class_names
        raise DataError(
            f"The column {task.column!r} of {data!r} has classes that the model does not know: "
            + ", ".join(unknown[:5])
            + (", …" if len(unknown) > 5 else ""),
            expected=", ".join(known[:20]) + (", …" if len(known) > 20 else ""),
            mend="rename these classes or move their images away",
        )
    return task.class_names


def _stratified(listing: Listing) -> Listing:
    """Returns the listing with the strata of a split as its classes."""
    import numpy as np

    single = [task for task in listing.tasks if task.kind == "single_label"]
    multi = [task for task in listing.tasks if task.kind == "multi_label"]
    if single:
        splits = {
            name: replace(examples, labels=examples.targets[single[0].name])
            for name, examples in listing.splits.items()
        }
        return replace(listing, class_names=single[0].class_names, splits=splits)
    if not multi:
        zeros = {
            n: replace(e, labels=np.zeros(len(e), np.int64)) for n, e in listing.splits.items()
        }
        return replace(listing, class_names=UNLABELED, splits=zeros)
    names = multi[0].class_names
    counts = _count_all(listing, multi[0])
    rarest = {
        split: [
            min(np.flatnonzero(row).tolist(), key=lambda label: (counts[label], label), default=-1)
            for row in examples.targets[multi[0].name]
        ]
        for split, examples in listing.splits.items()
    }
    sizes = Counter(label for labels in rarest.values() for label in labels)
    large = [label for label in range(len(names)) if sizes[label] >= _MIN_STRATUM]
    strata = {label: position for position, label in enumerate(large)}
    num_others = sum(size for label, size in sizes.items() if label not in strata)
    # Images of small strata form a last one, or join the first if they are too few.
    other = 0 if strata and num_others < _MIN_STRATUM else len(large)
    splits = {
        split: replace(
            examples,
            labels=np.array([strata.get(label, other) for label in rarest[split]], np.int64),
        )
        for split, examples in listing.splits.items()
    }
    return replace(listing, class_names=(*(names[i] for i in large), "others"), splits=splits)
