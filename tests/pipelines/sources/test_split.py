"""Dividing: stratified, complete, seeded, and blind to the order of a listing."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.source import Examples
from pipelines.sources.split import first_per_class, split_examples
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
def test_split_is_stratified_complete_and_blind_to_order(
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


def test_split_names_the_class_that_is_too_small() -> None:
    with pytest.raises(
        DataError, match=r"Class 'b' has too few .*one each for train, val; received 1"
    ):
        split_examples(examples_of([0, 0, 0, 1]), ("a", "b"), val_fraction=0.2)


def test_fewer_of_each_class_are_among_more_and_blind_to_order() -> None:
    whole = examples_of([0] * 30 + [1] * 12 + [2] * 4)
    ten = first_per_class(whole, 10, seed=3)
    assert np.bincount(ten.labels).tolist() == [10, 10, 4]
    assert set(first_per_class(whole, 5, seed=3).names) < set(ten.names)
    mixed = whole.take(np.random.default_rng(0).permutation(len(whole)))
    assert set(first_per_class(mixed, 10, seed=3).names) == set(ten.names)
    assert set(first_per_class(whole, 10, seed=4).names) != set(ten.names)
