"""Split images into train, val and test, stratified by class and seeded."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pipelines.sources.columns import Digests, sortable
from pipelines.sources.config import DataConfig
from pipelines.sources.exclusion import quote_exclude
from pipelines.sources.source import Examples, Listing, join_examples
from pipelines.sources.splitting.group_divider import GroupDivider
from pipelines.sources.splitting.groups import group_related
from zoo.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def split_listing(listing: Listing, config: DataConfig, seed: int) -> dict[str, Examples]:
    """Splits val and test off the training images, if the data set has no such split.

    Args:
        listing: Images with a split `all` or `train`.
        config: The shares of val and test, and the limit per class.
        seed: Seed of the split.

    Raises:
        DataError: A class has fewer images than there are splits.
    """
    splits = dict(listing.splits)
    whole = splits.pop("all") if "all" in splits else splits.pop("train")
    fractions = {
        "val_fraction": 0.0 if "val" in splits else config.val_fraction,
        "test_fraction": 0.0 if "test" in splits else config.test_fraction,
    }
    splits |= split_examples(whole, listing.class_names, **fractions, seed=seed)
    if config.train_per_class:
        splits["train"] = limit_per_class(splits["train"], config.train_per_class, seed=seed)
    return splits


def split_examples(
    examples: Examples,
    class_names: tuple[str, ...],
    *,
    val_fraction: float,
    test_fraction: float = 0.0,
    seed: int = 0,
) -> dict[str, Examples]:
    """Splits images so that each split has its share of every class.

    The images of a class are ranked by a hash of (seed, name), and the first ones go
    to val and test. So the split depends neither on the order in which a disk lists
    files nor on a random number generator. A class added later does not change the
    split of the others, and an image added later moves few other images.

    Images that belong together, as copies do and those of one group, go to one split,
    whatever their classes: metrics on an image that the model was trained on say nothing.

    Args:
        examples: The images; their names must differ.
        class_names: In the order of the labels; for the message.
        val_fraction: Share of each class that goes to `val`; 0 makes no `val`.
        test_fraction: Share of each class that goes to `test`; 0 makes no `test`.
        seed: Each seed gives a different split.

    Returns:
        `train`, and `val` and `test` if requested, each ordered by name. The share of
        a class is rounded, and at least one image.

    Raises:
        DataError: A class has fewer different images, or groups of them, than there are splits.
    """
    import numpy as np

    fractions = {"val": val_fraction, "test": test_fraction}
    fractions = {part: fraction for part, fraction in fractions.items() if fraction > 0}
    chosen: dict[str, list[npt.NDArray[np.int64]]] = {p: [] for p in ("train", *fractions)}
    ranks = _rank(seed, examples.names)
    divider = GroupDivider(group_related(examples))
    for label in np.unique(examples.labels):
        members = np.flatnonzero(examples.labels == label)
        ranked = members[np.argsort(ranks[members], kind="stable")]
        too_few = partial(_too_few, class_names[label], tuple(chosen), examples.take(members))
        if divider.count_groups(ranked) < len(chosen):
            raise too_few(divider.count_groups(ranked))
        counts = {part: max(1, _round(len(ranked) * f)) for part, f in fractions.items()}
        while sum(counts.values()) >= len(ranked):
            counts[max(counts, key=lambda part: counts[part])] -= 1
        divided = divider.divide(ranked, counts)
        for part, indices in divided.items():
            chosen[part].append(indices)
        if not all(map(len, divided.values())):
            raise too_few(divider.count_groups(ranked))
    return {
        part: _by_name(examples.take(np.concatenate(indices))) for part, indices in chosen.items()
    }


def _too_few(name: str, parts: Sequence[str], members: Examples, num_groups: int) -> DataError:
    what, received = "images", str(len(members))
    if members.groups is not None and (members.groups >= 0).any():
        what, received = "groups of images", f"{num_groups}, of {len(members)} images"
    elif num_groups < len(members):
        what, received = "different images", f"{num_groups} and {len(members) - num_groups} copies"
    return DataError(
        f"Class {name!r} has too few {what} to split",
        expected=f"{len(parts)} or more, one each for {', '.join(parts)}",
        received=received,
        mend=f"add images, or leave the class out with --set {quote_exclude(name)}",
    )


def assign_by_digest(
    splits: Mapping[str, Examples], recorded: Mapping[str, Sequence[str]]
) -> dict[str, Examples]:
    """Assigns images to the splits that a training run recorded their digests for.

    Only the bytes of a file count, not its name or folder. Copies of an image that
    several splits record fill these in the order test, val, train, as often as each
    records it; a copy in a val or test folder stays there if that split records it.

    An image that no split records keeps the split it came in, but not train, since the
    run was not trained on it: beside recorded images it goes to `all`.

    Args:
        splits: Scanned images by split: `all`, or any of train, val and test.
        recorded: SHA-256 digests of a run's images by split, one per image.

    Returns:
        The splits that have images, in the order train, val, test, all. Images from
        `all` and train are ordered by name, as in `split_examples`. If no image is
        recorded, the splits as they came.
    """
    remaining = {name: Counter(recorded.get(name, ())) for name in ("test", "val", "train")}
    known = set().union(*remaining.values())
    if not any(digest in known for examples in splits.values() for digest in examples.digests):
        return dict(splits)
    assigned: dict[str, dict[str, list[int]]] = {
        name: {} for name in ("train", "val", "test", "all")
    }
    # Held-out folders first, so that they keep their copies of images that train has too.
    for origin in sorted(splits, key=lambda name: name not in ("val", "test")):
        for index, digest in enumerate(splits[origin].digests):
            target = "all" if origin == "train" else origin
            if digest in known:
                holders = [name for name, counts in remaining.items() if digest in counts]
                free = [name for name in holders if remaining[name][digest] > 0] or holders[-1:]
                target = origin if origin in free and origin != "train" else free[0]
                remaining[target][digest] -= 1
            assigned[target].setdefault(origin, []).append(index)
    found: dict[str, Examples] = {}
    for name, by_origin in assigned.items():
        parts = [
            splits[origin].take(
                sorted(indices, key=splits[origin].names.__getitem__)
                if origin in ("all", "train")
                else indices
            )
            for origin, indices in by_origin.items()
        ]
        if parts:
            found[name] = join_examples(parts)
    return found


def limit_per_class(examples: Examples, count: int, *, seed: int = 0) -> Examples:
    """Keeps at most `count` images of each class, ranked by the same hash as in a split.

    Args:
        examples: The images; their names must differ.
        count: Maximum number of images per class, at least 1.
        seed: Each seed gives a different selection.

    Returns:
        The selected images in their given order. The selection for a smaller count is
        a subset of that for a larger one.
    """
    import numpy as np

    ranked = np.argsort(_rank(seed, examples.names), kind="stable")
    labels = examples.labels[ranked]
    chosen = [ranked[labels == label][:count] for label in np.unique(labels)]
    return examples.take(np.sort(np.concatenate(chosen))) if chosen else examples


def _rank(seed: int, names: Iterable[str]) -> npt.NDArray[Any]:
    """Returns the SHA-256 digests of (seed, name), as keys that NumPy sorts."""
    # A file name may not be valid UTF-8.
    texts = (f"{seed}/{name}".encode(errors="surrogateescape") for name in names)
    return sortable(Digests.hash(texts).binary)


def _by_name(examples: Examples) -> Examples:
    return examples.take(sorted(range(len(examples)), key=list(examples.names).__getitem__))


def _round(value: float) -> int:
    return math.floor(value + 0.5)
