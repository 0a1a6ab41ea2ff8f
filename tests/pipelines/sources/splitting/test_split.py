"""Splits: stratified, complete, seeded, and independent of the order of the images."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.source import Examples
from pipelines.sources.splitting.split import assign_by_digest, limit_per_class, split_examples
from zoo.errors import DataError


def examples_of(labels: Sequence[int]) -> Examples:
    names = tuple(f"{label}/{index:04d}.jpg" for index, label in enumerate(labels))
    return Examples(names, np.array(labels, np.int64), encoded=tuple(n.encode() for n in names))


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(3, 40), min_size=2, max_size=5),
    val=st.floats(0.01, 0.6),
    test=st.sampled_from([0.0, 0.1, 0.3]),
    seed=st.integers(0, 2**31),
    shuffle=st.randoms(use_true_random=False),
)
def test_split_is_stratified_complete_and_independent_of_order(
    counts: list[int], val: float, test: float, seed: int, shuffle: random.Random
) -> None:
    whole = examples_of([label for label, count in enumerate(counts) for _ in range(count)])
    names = tuple(str(label) for label in range(len(counts)))
    options = {"val_fraction": val, "test_fraction": test, "seed": seed}
    parts = split_examples(whole, names, **options)

    assert sorted(n for part in parts.values() for n in part.names) == sorted(whole.names)
    for part, fraction in (("val", val), ("test", test)):
        if part not in parts:
            assert not fraction
            continue
        shares = np.bincount(parts[part].labels, minlength=len(counts))
        assert (shares >= 1).all()
        # Rounded, or one less where training would have been left with nothing.
        assert (np.abs(shares - np.array(counts) * fraction) <= 1.01).all() or min(counts) < 12
    assert (np.bincount(parts["train"].labels, minlength=len(counts)) >= 1).all()
    assert all(p.encoded == tuple(n.encode() for n in p.names) for p in parts.values())

    order = list(range(len(whole)))
    shuffle.shuffle(order)
    again = split_examples(whole.take(order), names, **options)
    assert {k: v.names for k, v in parts.items()} == {k: v.names for k, v in again.items()}


def test_split_depends_on_the_seed_and_stays_when_a_class_is_added() -> None:
    two, three = examples_of([0] * 50 + [1] * 50), examples_of([0] * 50 + [1] * 50 + [2] * 9)
    names = ("a", "b", "c")
    first = split_examples(two, names, val_fraction=0.2, seed=1)["val"].names
    assert split_examples(two, names, val_fraction=0.2, seed=2)["val"].names != first
    with_c = split_examples(three, names, val_fraction=0.2, seed=1)["val"].names
    assert [n for n in with_c if not n.startswith("2/")] == list(first)


def test_split_names_a_class_that_is_too_small() -> None:
    with pytest.raises(
        DataError, match=r"Class 'b' has too few .*one each for train, val; received 1"
    ):
        split_examples(examples_of([0, 0, 0, 1]), ("a", "b"), val_fraction=0.2)


@settings(max_examples=100, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), min_size=6, max_size=80),
    test=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 2**31),
    shuffle=st.randoms(use_true_random=False),
)
def test_copies_stay_on_one_side(
    pairs: list[tuple[int, int]], test: float, seed: int, shuffle: random.Random
) -> None:
    whole = examples_of([label for label, _ in pairs])
    whole = scanned(replace(whole, encoded=tuple(bytes([content]) for _, content in pairs)))
    options = {"val_fraction": 0.3, "test_fraction": test, "seed": seed}
    contents = [{c for i, c in pairs if i == label} for label in {label for label, _ in pairs}]
    try:
        parts = split_examples(whole, ("a", "b", "c"), **options)
    except DataError:
        # A class has too few different images, or shares them with other classes.
        shared = len(set().union(*contents)) < sum(map(len, contents))
        if not shared and min(map(len, contents)) >= (3 if test else 2):
            raise
        return
    digests = [set(part.digests) for part in parts.values()]
    assert sum(map(len, digests)) == len(set().union(*digests))
    assert sorted(n for part in parts.values() for n in part.names) == sorted(whole.names)
    for part in parts.values():
        assert set(part.labels.tolist()) == {label for label, _ in pairs}
    order = list(range(len(whole)))
    shuffle.shuffle(order)
    again = split_examples(whole.take(order), ("a", "b", "c"), **options)
    assert names(parts) == names(again)


def test_split_without_copies_is_that_of_the_names_alone() -> None:
    whole = examples_of([0] * 50 + [1] * 31 + [2] * 7)
    options = {"val_fraction": 0.2, "test_fraction": 0.1, "seed": 5}
    parts = split_examples(whole, ("a", "b", "c"), **options)
    assert names(parts) == names(split_examples(scanned(whole), ("a", "b", "c"), **options))
    # May only change with a new major version: it would mix train and val of every run.
    assert [*parts["test"].names][:4] == ["0/0004.jpg", "0/0015.jpg", "0/0023.jpg", "0/0047.jpg"]


def test_class_without_copies_is_split_as_without_those_of_others() -> None:
    whole = examples_of([0] * 20 + [1] * 30)
    copied = scanned(replace(whole, encoded=(b"same",) * 5 + (whole.encoded or ())[5:]))
    before = split_examples(whole, ("a", "b"), val_fraction=0.2)["val"].names
    after = split_examples(copied, ("a", "b"), val_fraction=0.2)["val"]
    assert [n for n in after.names if n[0] == "1"] == [n for n in before if n[0] == "1"]
    assert np.bincount(after.labels).tolist() == [4, 6], "the shares stay, too"


def test_split_names_a_class_of_copies_alone() -> None:
    whole = examples_of([0] * 8 + [1] * 8)
    copied = scanned(replace(whole, encoded=(b"same",) * 8 + (whole.encoded or ())[8:]))
    message = (
        "'ant s' has too few different images .*; received 1 and 7 copies; add images, or leave "
        r"the class out with --set 'data\.exclude=\[\"ant s\"\]'"
    )
    with pytest.raises(DataError, match=message):
        split_examples(copied, ("ant s", "b"), val_fraction=0.2)


def test_limit_per_class_is_nested_and_independent_of_order() -> None:
    whole = examples_of([0] * 30 + [1] * 12 + [2] * 4)
    ten = limit_per_class(whole, 10, seed=3)
    assert np.bincount(ten.labels).tolist() == [10, 10, 4]
    assert set(limit_per_class(whole, 5, seed=3).names) < set(ten.names)
    mixed = whole.take(np.random.default_rng(0).permutation(len(whole)))
    assert set(limit_per_class(mixed, 10, seed=3).names) == set(ten.names)
    assert set(limit_per_class(whole, 10, seed=4).names) != set(ten.names)


def scanned(examples: Examples) -> Examples:
    digests = tuple(hashlib.sha256(content).hexdigest() for content in examples.encoded or ())
    return replace(examples, digests=digests)


def recorded(splits: dict[str, Examples]) -> dict[str, list[str]]:
    return {name: sorted(examples.digests) for name, examples in splits.items()}


def names(splits: dict[str, Examples]) -> dict[str, tuple[str, ...]]:
    return {name: examples.names for name, examples in splits.items()}


@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=40),
    seed=st.integers(0, 9),
    with_validation=st.booleans(),
)
def test_assignment_by_digest_repeats_a_split(
    labels: list[int], seed: int, with_validation: bool
) -> None:
    whole = scanned(examples_of([label for label in labels for _ in range(4)]))
    divided = split_examples(
        whole, ("a", "b", "c", "d"), val_fraction=0.3, test_fraction=0.2, seed=seed
    )
    record = recorded(divided)
    if with_validation:
        record["train"] = sorted(record["train"] + record["val"])
    assert names(assign_by_digest({"all": whole}, record)) == names(divided)


@given(
    copies=st.lists(st.integers(0, 5), min_size=9, max_size=30),
    seed=st.integers(0, 9),
    with_validation=st.booleans(),
)
def test_assignment_by_digest_counts_the_copies_of_an_image(
    copies: list[int], seed: int, with_validation: bool
) -> None:
    whole = examples_of([0] * len(copies))
    whole = replace(whole, encoded=tuple(bytes([copy]) for copy in copies))
    # A run of an earlier version may have copies in several splits.
    divided = split_examples(whole, ("a",), val_fraction=0.3, test_fraction=0.2, seed=seed)
    divided, whole = {n: scanned(part) for n, part in divided.items()}, scanned(whole)
    record = recorded(divided)
    if with_validation:
        record["train"] = sorted(record["train"] + record["val"])
    assert recorded(assign_by_digest({"all": whole}, record)) == recorded(divided)


def test_assignment_by_digest_keeps_the_order_of_given_held_out_splits() -> None:
    whole = scanned(examples_of([0] * 12))
    given_splits = {"train": whole.take([5, 1, 3, 4]), "val": whole.take([9, 8])}
    record = recorded(given_splits)
    assigned = assign_by_digest(given_splits, record)
    assert assigned["train"].names == tuple(sorted(given_splits["train"].names))
    assert assigned["val"].names == given_splits["val"].names


def test_assignment_by_digest_leaves_a_leaked_image_in_each_of_its_splits() -> None:
    whole = scanned(replace(examples_of([0] * 3), encoded=(b"same", b"other", b"same")))
    given_splits = {"train": whole.take([0, 1]), "val": whole.take([2])}
    assigned = assign_by_digest(given_splits, recorded(given_splits))
    assert names(assigned) == names(given_splits)


def test_assignment_by_digest_sets_images_apart_that_no_split_records() -> None:
    whole = scanned(examples_of([0] * 12))
    given_splits = {"train": whole.take([0, 1, 2]), "test": whole.take([3, 4, 5])}
    record = {"train": list(whole.digests[1:4]), "val": list(whole.digests[9:])}
    assert names(assign_by_digest(given_splits, record)) == {
        "train": (whole.names[3], *whole.names[1:3]),
        "test": whole.names[4:6],
        "all": whole.names[:1],
    }
    assert assign_by_digest(given_splits, {"train": ["none of these"]}) == given_splits


def test_assignment_by_digest_adds_surplus_copies_to_the_training_images() -> None:
    whole = scanned(replace(examples_of([0] * 4), encoded=(b"same",) * 4))
    record = {"train": [whole.digests[0]], "val": [whole.digests[0]]}
    assigned = assign_by_digest({"all": whole}, record)
    assert {name: len(examples) for name, examples in assigned.items()} == {"train": 3, "val": 1}
