"""Leave out the images, folders and classes that `data.exclude` names."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pipelines.sources.source import SEPARATOR, UNLABELED, Examples, Listing
from pipelines.sources.spelling import to_nfc

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Pattern:
    """One entry of `data.exclude`: a name, a folder, a class or a glob; case is ignored.

    Args:
        text: As the user wrote it.

    Example:
        >>> Pattern("*.heic").matches("train/ants/IMG_0.HEIC")
        True
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._name = _fold(text)
        self._folder = self._name.rstrip("/") + "/"
        glob = any(character in text for character in "*?[")
        self._glob = re.compile(fnmatch.translate(self._name)) if glob else None

    def matches(self, name: str) -> bool:
        """Whether it names an image, a folder above it, a class or a label."""
        folded = _fold(name)
        # A name may contain brackets, which are special in a glob.
        return (
            folded == self._name
            or folded.startswith(self._folder)
            or (self._glob is not None and self._glob.match(folded) is not None)
        )


def exclude_images(
    listing: Listing, patterns: Sequence[str], columns: Sequence[str] = ()
) -> Listing:
    """Leaves out the images that match a pattern.

    A class that had images and has none left is dropped, and the labels are renumbered.
    How many images are left out, and patterns that match nothing, are added to the hints.

    Args:
        listing: The images that a reader found.
        patterns: Names, folders, classes or globs, as in `DataConfig.exclude`.
        columns: Columns whose texts are classes, or labels with `|` between them.
    """
    import numpy as np

    if not patterns:
        return listing
    compiled = [Pattern(text) for text in patterns]
    splits: dict[str, Examples] = {}
    labels_before: set[int] = set()
    labels_after: set[int] = set()
    matching = np.zeros(len(compiled), bool)
    for split, examples in listing.splits.items():
        matches = np.stack([_match(listing, examples, p, columns) for p in compiled])
        matching |= matches.any(axis=1)
        splits[split] = examples.take(np.flatnonzero(~matches.any(axis=0)))
        labels_before |= set(np.unique(examples.labels).tolist())
        labels_after |= set(np.unique(splits[split].labels).tolist())
    others = [*listing.empty, *(finding.name for finding in listing.ignored)]
    for index, pattern in enumerate(compiled):
        matching[index] |= any(_matches_folder(pattern, name) for name in others)
    empty = tuple(n for n in listing.empty if not any(_matches_folder(p, n) for p in compiled))
    empty_classes = {to_nfc(PurePosixPath(name).name) for name in empty}
    kept_labels = [
        label
        for label, name in enumerate(listing.class_names)
        if label in labels_after or (label not in labels_before and name in empty_classes)
    ]
    relabel = np.full(len(listing.class_names), -1, dtype=np.int64)
    relabel[kept_labels] = np.arange(len(kept_labels))
    num_before = sum(map(len, listing.splits.values()))
    num_left = num_before - sum(map(len, splits.values()))
    hints = [f"data.exclude leaves out {num_left} of {num_before} images"] if num_left else []
    unused = [p.text for p, found in zip(compiled, matching.tolist(), strict=True) if not found]
    hints += [f"{text!r} of data.exclude matches nothing" for text in unused]
    return replace(
        listing,
        class_names=tuple(listing.class_names[label] for label in kept_labels),
        splits={
            split: replace(e, labels=relabel[e.labels]) for split, e in splits.items() if len(e)
        },
        empty=empty,
        ignored=tuple(f for f in listing.ignored if not any(p.matches(f.name) for p in compiled)),
        hints=(*listing.hints, *hints),
    )


def quote_exclude(*names: str) -> str:
    r"""Returns the argument of `--set` that leaves names out, quoted for a shell.

    Example:
        >>> quote_exclude("*.gif")
        '\'data.exclude=["*.gif"]\''
    """
    texts = json.dumps([*names], ensure_ascii=False)
    return shlex.quote(f"data.exclude={texts}")


def _match(
    listing: Listing, examples: Examples, pattern: Pattern, columns: Sequence[str]
) -> npt.NDArray[np.bool_]:
    """Returns which images a pattern names, bool [N]."""
    import numpy as np

    found = np.fromiter(map(pattern.matches, examples.names), bool, len(examples))
    if listing.class_names != UNLABELED:
        classes = np.array([pattern.matches(name) for name in listing.class_names], bool)
        found |= classes[examples.labels]
    for column in columns:
        texts = examples.columns.get(column, ())
        named = {
            text: any(pattern.matches(part.strip()) for part in text.split(SEPARATOR))
            for text in set(texts)
        }
        if texts:
            found |= np.array([named[text] for text in texts], bool)
    return found


def _matches_folder(pattern: Pattern, name: str) -> bool:
    """Whether a pattern names a folder without images, or the class that it is of."""
    name = name.rstrip("/")
    return pattern.matches(name) or pattern.matches(PurePosixPath(name).name)


def _fold(text: str) -> str:
    return to_nfc(text).casefold()
