"""Groups of near-duplicates, from features and hashes."""

from __future__ import annotations

import numpy as np

from pipelines.inspection.near_duplicates import (
    connect,
    find_similar_pairs,
    group_near_duplicates,
)
from pipelines.inspection.perceptual_hash import PerceptualHashes, hash_images
from tests.support.planted import build_image, build_near_duplicates


def test_pairs_are_those_whose_cosine_is_large_enough() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 6)).astype(np.float32)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    first, second = np.nonzero(np.triu(unit @ unit.T >= 0.9, 1))
    found = find_similar_pairs(rows, num_neighbors=199, min_cosine=0.9)
    assert found.tolist() == np.stack([first, second], axis=1).tolist()
    assert len(found) > 10
    assert len(find_similar_pairs(rows[:1], 10, -1)) == 0


def test_components_are_numbered_in_their_order() -> None:
    assert connect(np.zeros((0, 2), np.int64), 3).tolist() == [0, 1, 2]
    pairs = np.array([[1, 4], [2, 3], [3, 4]])
    assert connect(pairs, 6).tolist() == [0, 1, 1, 1, 1, 2]


def test_features_propose_and_hashes_decide() -> None:
    images = [build_image(seed) for seed in range(12)]
    # 12 to 14 are near-duplicates of 0, 15 of 1; 16 equals 2 byte for byte.
    images += [
        build_near_duplicates(images[0])[kind]
        for kind in ("mirrored", "smaller", "cropped at a corner")
    ]
    images += [build_near_duplicates(images[1])["brighter"], images[2]]
    twins = np.array([*range(12), 0, 0, 0, 1, 2])
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(12, 40))[twins] + rng.normal(0, 0.1, (17, 40))
    # To the backbone, 3 and 4 are the same, too.
    rows[4] = rows[3]
    asked: list[int] = []

    def hash_at(indices: np.ndarray) -> PerceptualHashes:
        asked.extend(indices.tolist())
        return hash_images(np.asarray(images[index]) for index in indices)

    def group(comparable: np.ndarray) -> list[int]:
        rows_ = rows.astype(np.float32)
        groups = group_near_duplicates(rows_, np.array([*range(16), 2]), comparable, hash_at)
        return groups.tolist()

    assert group(np.ones(17, bool)) == [*range(12), 0, 0, 0, 1, 2]
    assert sorted(asked) == list(range(16))
    # Too small to be hashed: only the copy is found.
    assert group(np.zeros(17, bool)) == [*range(16), 2]
