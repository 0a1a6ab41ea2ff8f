"""Nearest neighbors, against all distances at once."""

from __future__ import annotations

import numpy as np

from tuning.nearest_neighbors import MAX_EXACT_ROWS, NUM_COMPONENTS, find_neighbors, shorten_rows


def test_neighbors_are_those_of_all_distances() -> None:
    rows = np.random.default_rng(0).normal(size=(300, 20)).astype(np.float32)
    found = find_neighbors(rows, 7)
    distances = np.linalg.norm(rows[:, None].astype(np.float64) - rows, axis=2)
    np.fill_diagonal(distances, np.inf)
    np.testing.assert_array_equal(found.indices, np.argsort(distances, axis=1)[:, :7])
    np.testing.assert_allclose(found.distances, np.sort(distances, axis=1)[:, :7], rtol=1e-5)


def test_equal_rows_are_neighbors_and_no_row_is_its_own() -> None:
    rows = np.repeat(np.eye(3, dtype=np.float32), 2, axis=0)
    found = find_neighbors(rows, 1)
    assert found.indices[:, 0].tolist() == [1, 0, 3, 2, 5, 4]
    assert not found.distances.any()


def test_many_rows_keep_the_distances_of_their_components() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(MAX_EXACT_ROWS + 1, 30)) @ rng.normal(size=(30, 200))
    rows = rows.astype(np.float32)
    few = rows[:100]
    assert shorten_rows(few) is few
    short = shorten_rows(rows)
    assert short.shape == (len(rows), NUM_COMPONENTS)
    # 30 directions hold all of them.
    pairs = rng.integers(0, len(rows), (2, 50))
    np.testing.assert_allclose(
        np.linalg.norm(short[pairs[0]] - short[pairs[1]], axis=1),
        np.linalg.norm(rows[pairs[0]] - rows[pairs[1]], axis=1),
        rtol=1e-3,
        atol=1e-3,
    )
