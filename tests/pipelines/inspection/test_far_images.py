"""Images far from all others."""

from __future__ import annotations

import numpy as np

from pipelines.inspection.far_images import find_far_images


def test_far_images_are_beyond_the_outer_fence() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 30)).astype(np.float32)
    rows[7] *= 3
    rows[100] *= 5
    found = find_far_images(rows, 10)
    distances = np.linalg.norm(rows[:, None] - rows, axis=2)
    tenth = np.sort(distances, axis=1)[:, 10]
    np.testing.assert_allclose(found.distances, tenth, rtol=1e-5)
    lower, upper = np.percentile(tenth, [25, 75])
    np.testing.assert_allclose(found.threshold, upper + 3 * (upper - lower), rtol=1e-5)
    assert found.images.tolist() == [100, 7]


def test_group_of_fewer_than_k_is_far_as_well() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(100, 10)).astype(np.float32)
    rows[:5] += 30
    assert sorted(find_far_images(rows, 10).images.tolist()) == [0, 1, 2, 3, 4]
