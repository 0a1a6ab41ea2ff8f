"""Labels to buy next: more is learned from them than from as many labels of random images."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from tuning.next_labels import choose_next_labels, compute_margins


def test_margin_is_that_of_the_two_likeliest_classes() -> None:
    probabilities = np.array([[0.2, 0.7, 0.1], [0.4, 0.2, 0.4], [0, 0, 1]], np.float32)
    np.testing.assert_allclose(compute_margins(probabilities), [0.5, 0.0, 1.0], atol=1e-7)


def test_one_image_of_each_kind_is_chosen() -> None:
    """Six clusters of images that a classifier is equally unsure of."""
    rows, kinds = make_blobs(120, 8, centers=6, cluster_std=0.05, random_state=0)
    probabilities = np.full((120, 2), 0.5, np.float32)
    chosen = choose_next_labels(rows.astype(np.float32), probabilities, 6, seed=0)
    assert sorted(kinds[chosen]) == list(range(6))


def test_images_that_a_classifier_is_sure_of_are_not_chosen() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 8)).astype(np.float32)
    first = rng.permutation(np.concatenate([np.full(40, 0.51), np.full(460, 0.99)]))
    probabilities = np.stack([first, 1 - first], axis=1).astype(np.float32)
    chosen = choose_next_labels(rows, probabilities, 4, seed=0)
    assert np.all(first[chosen] == 0.51)


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (7, 7), (20, 20), (30, 20)])
def test_no_image_is_chosen_twice(count: int, expected: int) -> None:
    rng = np.random.default_rng(1)
    # Twenty images of four different rows: fewer than there are centers.
    rows = np.repeat(rng.normal(size=(4, 6)), 5, axis=0).astype(np.float32)
    probabilities = rng.dirichlet(np.ones(3), 20).astype(np.float32)
    chosen = choose_next_labels(rows, probabilities, count, seed=0)
    assert len(chosen) == len(set(chosen.tolist())) == expected
    margins = compute_margins(probabilities)[chosen]
    assert np.all(np.diff(margins) >= 0)


def test_choice_repeats() -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(300, 16)).astype(np.float32)
    probabilities = rng.dirichlet(np.ones(5), 300).astype(np.float32)
    one, other = (choose_next_labels(rows, probabilities, 12, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("per_class", "count"), [(2, 20), (10, 100)])
def test_more_is_learned_than_from_random_images(per_class: int, count: int) -> None:
    """scikit-learn's digits, six draws of the labels at hand."""
    data, labels = load_digits(return_X_y=True)
    gains = []
    for seed in range(6):
        order = np.random.default_rng(seed).permutation(len(data))
        test, pool = order[:300], order[300:]
        rows = StandardScaler().fit(data[pool]).transform(data).astype(np.float32)
        known = np.concatenate([pool[labels[pool] == c][:per_class] for c in range(10)])
        others = pool[~np.isin(pool, known)]

        def fit(images: np.ndarray, rows: np.ndarray = rows) -> LogisticRegression:
            return LogisticRegression(C=0.1, max_iter=300).fit(rows[images], labels[images])

        probabilities = fit(known).predict_proba(rows[others]).astype(np.float32)
        chosen = choose_next_labels(rows[others], probabilities, count, seed)
        ours, random = (
            fit(np.concatenate([known, others[some]])).score(rows[test], labels[test])
            for some in (chosen, np.arange(count))
        )
        gains.append(ours - random)
    assert np.mean(gains) > 0.01
    assert np.mean(gains) > np.std(gains) / np.sqrt(len(gains))
