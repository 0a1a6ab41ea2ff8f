"""Unknown scorers against scikit-learn, and the share of known images that a threshold refuses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.covariance import EmpiricalCovariance, LedoitWolf
from sklearn.neighbors import NearestNeighbors

from tuning import unknown_scores
from tuning.unknown_scores import (
    UNKNOWN_METHODS,
    UnknownMethod,
    find_threshold,
    fit_mahalanobis,
    fit_neighbors,
    score_neighbors_of_others,
    score_on_folds,
)

METHODS = list(UNKNOWN_METHODS.values())
NUM_CLASSES, NUM_FEATURES = 3, 12


def draw(count: int, seed: int, *, far: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated features of three classes, as positive as pooled ones mostly are."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(7).normal(size=(NUM_FEATURES, NUM_FEATURES))
    means = np.random.default_rng(8).uniform(3, 9, (NUM_CLASSES, NUM_FEATURES))
    labels = rng.integers(0, NUM_CLASSES, count)
    rows = means[labels] + rng.normal(size=(count, NUM_FEATURES)) @ mixing * 0.4 + far
    return rows.astype(np.float32), labels


@pytest.mark.parametrize("count", [9, 400])
def test_mahalanobis_distance_is_that_of_scikit_learn(count: int) -> None:
    rows, labels = draw(count, seed=0)
    labels[:3] = [0, 1, 2]
    new, _ = draw(50, seed=1)
    means = np.stack([rows[labels == c].mean(axis=0, dtype=np.float64) for c in range(3)])
    oracle = LedoitWolf(assume_centered=True).fit(rows.astype(np.float64) - means[labels])
    expected = np.sqrt(np.min([oracle.mahalanobis(new - mean) for mean in means], axis=0))
    np.testing.assert_allclose(fit_mahalanobis(rows, labels).distances(new), expected, rtol=1e-4)


def test_mahalanobis_distance_of_many_images_is_that_of_the_empirical_covariance() -> None:
    rows, labels = draw(40_000, seed=0)
    new, _ = draw(50, seed=1)
    means = np.stack([rows[labels == c].mean(axis=0, dtype=np.float64) for c in range(3)])
    oracle = EmpiricalCovariance(assume_centered=True).fit(rows - means[labels])
    expected = np.sqrt(np.min([oracle.mahalanobis(new - mean) for mean in means], axis=0))
    np.testing.assert_allclose(fit_mahalanobis(rows, labels).distances(new), expected, rtol=0.01)


def test_classes_without_images_have_no_mean() -> None:
    rows, labels = draw(60, seed=0)
    few = fit_mahalanobis(rows, labels * 5)
    np.testing.assert_array_equal(
        few.distances(rows), fit_mahalanobis(rows, labels).distances(rows)
    )


@pytest.mark.parametrize("count", [3, 200])
def test_neighbor_distance_is_that_of_scikit_learn(count: int) -> None:
    rows, labels = draw(count, seed=0)
    new, _ = draw(50, seed=1)
    scorer = fit_neighbors(rows, labels)
    assert scorer.num_neighbors == min(count, unknown_scores.NUM_NEIGHBORS)
    search = NearestNeighbors(n_neighbors=scorer.num_neighbors, metric="cosine").fit(rows)
    expected = search.kneighbors(new)[0][:, -1]
    np.testing.assert_allclose(scorer.distances(new), expected, atol=1e-6)


def test_bank_is_bounded_and_has_images_of_every_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unknown_scores, "MAX_BANK", 30)
    rows, labels = draw(3000, seed=0)
    labels[:] = np.repeat([0, 1, 2], [100, 900, 2000])
    bank = fit_neighbors(rows, labels).bank
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    origin = [int(np.abs(unit - row).sum(axis=1).argmin()) for row in bank]
    assert np.bincount(labels[origin]).tolist() == [1, 9, 20]


@pytest.mark.parametrize("method", METHODS, ids=list(UNKNOWN_METHODS))
def test_foreign_images_score_higher(method: UnknownMethod) -> None:
    rows, labels = draw(300, seed=0)
    foreign = np.random.default_rng(3).uniform(0, 12, (200, NUM_FEATURES)).astype(np.float32)
    scorer = method.fit(rows, labels)
    known = scorer.distances(draw(200, seed=1)[0])
    assert np.median(scorer.distances(foreign)) > np.quantile(known, 0.95)


NUM_DRAWS, NUM_NEW = 60, 500


def standard_error(count: int, share: float) -> float:
    """Of the mean share of new images above the k-th of n, which is Beta(n + 1 - k, k)."""
    above = share * (count + 1)  # n + 1 - k, whole in these tests
    known = stats.beta(above, count + 1 - above).var()
    return float(np.sqrt((known + (share * (1 - share) - known) / NUM_NEW) / NUM_DRAWS))


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("method", METHODS, ids=list(UNKNOWN_METHODS))
def test_stated_share_of_new_images_is_refused(method: UnknownMethod, share: float) -> None:
    refused = []
    for seed in range(NUM_DRAWS):
        scorer = method.fit(*draw(100, seed=3 * seed))
        threshold = find_threshold(scorer.distances(draw(199, seed=3 * seed + 1)[0]), share)
        new = scorer.with_threshold(threshold).scores(draw(NUM_NEW, seed=3 * seed + 2)[0])
        refused.append((new > 1).mean())
    assert abs(np.mean(refused) - share) < 2 * standard_error(199, share)


@pytest.mark.parametrize("method", METHODS, ids=list(UNKNOWN_METHODS))
def test_folds_refuse_the_stated_share_without_validation_images(method: UnknownMethod) -> None:
    refused = []
    for seed in range(NUM_DRAWS):
        rows, labels = draw(199, seed=2 * seed)
        threshold = find_threshold(method.score_held_out(rows, labels, seed, None), 0.1)
        scorer = method.fit(rows, labels).with_threshold(threshold)
        refused.append((scorer.scores(draw(NUM_NEW, seed=2 * seed + 1)[0]) > 1).mean())
    # What is fitted to all images finds new ones a little nearer.
    assert 0.09 < np.mean(refused) < 0.1 + 2 * standard_error(199, 0.1)


def test_neighbors_of_others_are_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels = draw(80, seed=0)
    search = NearestNeighbors(n_neighbors=5, metric="cosine").fit(rows)
    expected = search.kneighbors()[0][:, -1]  # each row itself not counted
    np.testing.assert_allclose(score_neighbors_of_others(rows, labels, 0), expected, atol=1e-6)
    monkeypatch.setattr(unknown_scores, "_BLOCK", 7)
    np.testing.assert_allclose(score_neighbors_of_others(rows, labels, 0), expected, atol=1e-6)


@pytest.mark.parametrize("method", METHODS, ids=list(UNKNOWN_METHODS))
def test_copies_do_not_make_an_image_known(
    method: UnknownMethod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside its copy, an image would have a distance of nearly 0."""
    monkeypatch.setattr(unknown_scores, "NUM_NEIGHBORS", 1)
    rows, labels = draw(60, seed=0)
    twice, of_both = np.concatenate([rows, rows]), np.concatenate([labels, labels])
    alone = method.score_held_out(rows, labels, 0, None)
    apart = method.score_held_out(twice, of_both, 0, np.tile(np.arange(60), 2))
    # Folds divide both alike, and of twice the images the covariance is shrunk less.
    np.testing.assert_allclose(apart, np.tile(alone, 2), rtol=0.2)
    np.testing.assert_array_equal(apart[:60], apart[60:])


def test_images_that_do_not_vary_are_refused() -> None:
    rows, labels = np.ones((20, 4), np.float32), np.arange(20) % 2
    with pytest.raises(ValueError, match="do not differ"):
        fit_mahalanobis(rows, labels)
    with pytest.raises(ValueError, match="all images are of one group"):
        score_on_folds(rows, labels, 0, np.zeros(20, np.int64))


@pytest.mark.parametrize(("count", "share", "rank"), [(19, 0.05, 19), (99, 0.05, 95), (5, 0.05, 5)])
def test_threshold_is_the_finite_sample_quantile(count: int, share: float, rank: int) -> None:
    distances = np.random.default_rng(0).permutation(np.arange(1, count + 1)).astype(np.float32)
    assert find_threshold(distances, share) == rank


@pytest.mark.parametrize("method", METHODS, ids=list(UNKNOWN_METHODS))
@pytest.mark.parametrize("apart", [1.0, 0.3, 0.1])
def test_scores_round_by_no_more_than_stated(method: UnknownMethod, apart: float) -> None:
    """Features that are nearly parallel differ in their last digits."""
    rows, labels = draw(300, seed=0)
    rows = (100 + apart * rows).astype(np.float32)
    scorer = method.fit(rows, labels)
    scorer = scorer.with_threshold(find_threshold(scorer.distances(rows), 0.05))
    exact = {name: array.astype(np.float64) for name, array in scorer.arrays.items()}
    expected = scorer._measure(np, rows.astype(np.float64), exact) / scorer.threshold
    differences = np.abs(scorer.scores(rows) - expected) / (1 + expected)
    assert differences.max() < 1e-4 + scorer.rounding
