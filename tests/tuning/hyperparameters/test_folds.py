"""Cross-validation: stratified folds, and the mean result over them."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from tuning.hyperparameters.folds import mean_result, stratified_folds
from tuning.hyperparameters.trial import Result
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


def test_mean_result_has_the_mean_and_deviation_of_the_scores() -> None:
    scores, losses = [0.8, 0.9, 0.95], [0.5, 0.4, 0.6]
    found = mean_result([Result(scores[i], None, losses[i], 7, 3 + i) for i in range(3)])
    assert found.score == pytest.approx(statistics.fmean(scores))
    assert found.score_std == pytest.approx(statistics.pstdev(scores))
    assert found.loss == pytest.approx(0.5)
    assert (found.epochs, found.best_epoch) == (7, 4)


def test_mean_result_fails_if_a_fold_failed() -> None:
    found = mean_result([Result(0.9, None, 0.1, 5, 5), Result(epochs=2, failure="no number")])
    assert found == Result(epochs=5, failure="fold 2: no number")
