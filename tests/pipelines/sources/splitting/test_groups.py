"""Groups: no split and no fold divides them, nor what copies tie to them."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.search.trial_trainer import divide_into_folds
from pipelines.sources.source import Examples, Source
from pipelines.sources.splitting.groups import group_related, join_groupings
from pipelines.sources.splitting.split import split_examples
from zoo.errors import DataError
from zoo.tasks import CLASSIFICATION

# Class, group (-1: none) and content of an image.
Rows = list[tuple[int, int, int]]

ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(-1, 12), st.integers(0, 60)), min_size=8, max_size=80
)


def examples_of(rows: Rows) -> Examples:
    contents = tuple(bytes([content]) for _, _, content in rows)
    return Examples(
        tuple(f"{label}/{index:04d}.jpg" for index, (label, _, _) in enumerate(rows)),
        np.array([label for label, _, _ in rows], np.int64),
        encoded=contents,
        digests=tuple(hashlib.sha256(content).hexdigest() for content in contents),
        groups=np.array([group for _, group, _ in rows], np.int64),
    )


def related_by_union(rows: Rows) -> list[set[int]]:
    """Merges sets of rows as long as two share a group or a content."""
    merged: list[tuple[set[int], set[object]]] = []
    for index, (_, group, content) in enumerate(rows):
        keys: set[object] = {("content", content)} | ({group} if group >= 0 else set())
        members = {index}
        for others, known in [entry for entry in merged if entry[1] & keys]:
            members |= others
            keys |= known
            merged.remove((others, known))
        merged.append((members, keys))
    return [members for members, _ in merged]


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_related_images_are_those_that_groups_and_copies_tie(rows: Rows) -> None:
    numbers = group_related(examples_of(rows))
    expected = related_by_union(rows)
    if numbers is None:
        assert len(expected) == len(rows)
        return
    found = {frozenset(np.flatnonzero(numbers == number).tolist()) for number in set(numbers)}
    assert found == {frozenset(members) for members in expected}


def test_groupings_of_nothing_in_common_are_none() -> None:
    assert join_groupings([]) is None
    assert join_groupings([np.array([3, 1, 2]), np.array([0, 9, 5])]) is None
    joined = join_groupings([np.array([0, 0, 1, 2]), np.array([7, 8, 8, 9])])
    assert joined is not None
    assert joined.tolist() == [0, 0, 0, 1]


@settings(max_examples=100, deadline=None)
@given(rows=ROWS, test=st.sampled_from([0.0, 0.2]), seed=st.integers(0, 2**31))
def test_split_never_divides_a_group(rows: Rows, test: float, seed: int) -> None:
    whole = examples_of(rows)
    present = sorted(set(whole.labels.tolist()))
    options = {"val_fraction": 0.3, "test_fraction": test, "seed": seed}
    by_class = [
        {min(group) for group in related_by_union(rows) if group & set(members)}
        for members in (np.flatnonzero(whole.labels == label).tolist() for label in present)
    ]
    shared = sum(map(len, by_class)) > len(set().union(*by_class))
    try:
        parts = split_examples(whole, ("a", "b", "c"), **options)
    except DataError:
        # A class has too few groups, or shares them with other classes.
        if not shared and min(map(len, by_class)) >= (3 if test else 2):
            raise
        return
    assert sorted(n for part in parts.values() for n in part.names) == sorted(whole.names)
    place = {name: split for split, part in parts.items() for name in part.names}
    for members in related_by_union(rows):
        assert len({place[whole.names[index]] for index in members}) == 1
    for part in parts.values():
        assert sorted(set(part.labels.tolist())) == present
    backwards = split_examples(whole.take(range(len(whole))[::-1]), ("a", "b", "c"), **options)
    assert {k: v.names for k, v in backwards.items()} == {k: v.names for k, v in parts.items()}


@pytest.mark.parametrize("seed", range(5))
def test_split_is_as_stratified_as_groups_allow(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = [rng.integers(1, 7, 40) for _ in range(3)]
    rows = [
        (label, 100 * label + group, 0)
        for label, of_class in enumerate(sizes)
        for group, size in enumerate(of_class)
        for _ in range(size)
    ]
    whole = replace(examples_of(rows), digests=())
    parts = split_examples(whole, ("a", "b", "c"), val_fraction=0.2, test_fraction=0.1, seed=seed)
    totals = np.bincount(whole.labels)
    for split, fraction in (("val", 0.2), ("test", 0.1)):
        counts = np.bincount(parts[split].labels)
        # At most the last group that would not fit is missing.
        assert (counts <= np.round(totals * fraction)).all()
        assert (counts > totals * fraction - 7).all()


def test_class_of_one_group_cannot_be_split() -> None:
    rows = [(0, index, index) for index in range(6)] + [(1, 50, 60 + index) for index in range(6)]
    message = (
        r"Class 'b' has too few groups of images to split; expected 2 or more, .*; received 1, of "
        "6 images; "
    )
    with pytest.raises(DataError, match=message):
        split_examples(examples_of(rows), ("a", "b"), val_fraction=0.2)


@settings(max_examples=50, deadline=None)
@given(rows=ROWS, seed=st.integers(0, 1000))
def test_folds_never_divide_a_group(rows: Rows, seed: int) -> None:
    whole = examples_of(rows)
    half = len(rows) // 2
    source = Source(
        "rows", ("a", "b", "c"), (CLASSIFICATION,),
        whole.take(range(half)), whole.take(range(half, len(rows))),
    )  # fmt: skip
    groups = [[g for g in related_by_union(rows) if any(rows[i][0] == label for i in g)]
              for label in {label for label, _, _ in rows}]  # fmt: skip
    if min(map(len, groups)) < 3:
        with pytest.raises(DataError, match="a class has fewer"):
            divide_into_folds(source, 3, seed)
        return
    folds = divide_into_folds(source, 3, seed)
    for fold in folds:
        assert len(fold.train) + len(fold.val) == len(rows)
        trained = {whole.names.index(name) for name in fold.train.names}
        for members in related_by_union(rows):
            assert members <= trained or not members & trained
