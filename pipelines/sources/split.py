"""Dividing images into train, val and test: stratified, seeded, and steady."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence

from pipelines.sources.config import DataConfig
from pipelines.sources.source import Examples, Listing, join_examples
from zoo.errors import DataError


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


def split_examples(
    examples: Examples,
    class_names: tuple[str, ...],
    *,
    val_fraction: float,
    test_fraction: float = 0.0,
    seed: int = 0,
) -> dict[str, Examples]:
    """Divides images so that every class has its share in every part.

    Within a class, images are ranked by a hash of (seed, name), and the first of
    them are set aside. So the division depends neither on the order in which a disk
    lists its files nor on a library's random numbers; a class added later changes
    no other class, and an image added later moves hardly any of the others.

    Args:
        examples: What to divide; its names must differ.
        class_names: In the order of the labels; for the message.
        val_fraction: Share of each class that goes to `val`; 0 makes no `val`.
        test_fraction: Share of each class that goes to `test`; 0 makes no `test`.
        seed: Another seed makes another division.

    Returns:
        `train`, `val` and `test`, those that were asked for, each ordered by name.
        Each holds at least one image of every class; else shares are rounded.

    Raises:
        DataError: A class has fewer images than there are parts.
    """
    import numpy as np

    fractions = {"val": val_fraction, "test": test_fraction}
    fractions = {part: fraction for part, fraction in fractions.items() if fraction > 0}
    chosen: dict[str, list[int]] = {part: [] for part in ("train", *fractions)}
    for label in np.unique(examples.labels):
        members = np.flatnonzero(examples.labels == label).tolist()
        if len(members) < len(chosen):
            raise DataError(
                f"Class {class_names[label]!r} has too few images to divide",
                expected=f"{len(chosen)} or more, one each for {', '.join(chosen)}",
                received=str(len(members)),
                mend="add images, or leave the class out with data.exclude",
            )
        ranked = sorted(members, key=lambda index: _rank(seed, examples.names[index]))
        counts = {part: max(1, _round(len(ranked) * f)) for part, f in fractions.items()}
        while sum(counts.values()) >= len(ranked):
            counts[max(counts, key=lambda part: counts[part])] -= 1
        start = 0
        for part, count in counts.items():
            chosen[part] += ranked[start : start + count]
            start += count
        chosen["train"] += ranked[start:]
    return {
        part: examples.take(sorted(indices, key=lambda index: examples.names[index]))
        for part, indices in chosen.items()
    }


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
        `all` and train are ordered by name, as by `split_examples`. If no image is
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


def first_per_class(examples: Examples, count: int, *, seed: int = 0) -> Examples:
    """Keeps so many images of each class, ranked as for a division.

    Args:
        examples: What to choose from; its names must differ.
        count: How many of each class at most, at least 1.
        seed: Another seed makes another choice.

    Returns:
        The chosen ones, in the order they came. Those for a smaller count are among
        those for a larger one.
    """
    ranked = sorted(range(len(examples)), key=lambda index: _rank(seed, examples.names[index]))
    found: Counter[int] = Counter()
    chosen = []
    for index in ranked:
        label = int(examples.labels[index])
        found[label] += 1
        if found[label] <= count:
            chosen.append(index)
    return examples.take(sorted(chosen))


def _rank(seed: int, name: str) -> bytes:
    # surrogateescape: a file name need not be valid UTF-8.
    return hashlib.sha256(f"{seed}/{name}".encode(errors="surrogateescape")).digest()


def _round(value: float) -> int:
    return math.floor(value + 0.5)
