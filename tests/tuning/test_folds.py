"""Stratified folds and subsets."""

from __future__ import annotations

import numpy as np
import pytest

from tuning.folds import count_folds, stratified_folds, stratified_subset
from zoo.errors import DataError


def test_folds_validate_each_image_once_and_keep_class_frequencies() -> None:
    labels = np.repeat([0, 1, 2], [30, 12, 18])
    folds = stratified_folds(labels, 3, seed=5)
    assert sorted(np.concatenate([val for _, val in folds])) == list(range(60))
    for train, val in folds:
        assert not set(train) & set(val)
        assert len(train) + len(val) == 60
        assert np.bincount(labels[val]).tolist() == [10, 4, 6]


def test_seed_determines_the_folds() -> None:
    labels = np.arange(40) % 2
    first, again, other = (stratified_folds(labels, 4, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a[1], b[1]) for a, b in zip(first, other, strict=True))


def test_class_with_fewer_images_than_folds_raises() -> None:
    with pytest.raises(DataError, match=r"fewer images than there are folds.*received 2"):
        stratified_folds(np.array([0, 0, 0, 1, 1]), 3, seed=0)


def test_subset_keeps_class_frequencies_and_grows_by_nesting() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [300, 60, 40]))
    subsets = [stratified_subset(labels, count, seed=3) for count in (40, 200, 400, 1000)]
    assert np.bincount(labels[subsets[0]]).tolist() == [30, 6, 4]
    assert np.bincount(labels[subsets[1]]).tolist() == [150, 30, 20]
    assert subsets[2].tolist() == subsets[3].tolist() == list(range(400))
    assert set(subsets[0]) < set(subsets[1])
    assert subsets[0].tolist() == sorted(subsets[0])
    assert subsets[0].tolist() != stratified_subset(labels, 40, seed=4).tolist()


@pytest.mark.parametrize(
    ("sizes", "num_folds"), [((9, 5), 5), ((9, 3), 3), ((9, 2), 2), ((9, 1), 0), ((9,), 0)]
)
def test_folds_are_five_or_as_many_as_the_rarest_class_allows(
    sizes: tuple[int, ...], num_folds: int
) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    assert count_folds(labels, 2) == num_folds


def test_groups_stay_in_one_fold() -> None:
    labels = np.repeat([0, 1], [24, 16])
    groups = np.arange(40)
    groups[:6], groups[20:26] = 0, 20
    folds = stratified_folds(labels, 4, 1, groups)
    assert sorted(np.concatenate([val for _, val in folds])) == list(range(40))
    for train, val in folds:
        assert not set(groups[train]) & set(groups[val])
        assert np.bincount(labels[val], minlength=2).min() >= 1
