"""Near-duplicates among images, and between two sets of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.sources.config import DataConfig
from pipelines.sources.examining.perceptual_hash import PerceptualHashes, hash_image
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.source import Examples, join_examples
from pipelines.sources.splitting import near_duplicates
from pipelines.sources.splitting.groups import connect
from pipelines.sources.splitting.near_duplicates import (
    MAX_DIFFERENCES,
    find_near_duplicates,
    find_near_duplicates_of,
    group_near_duplicates,
)
from tests.support.planted import build_image, build_near_duplicates

KINDS = tuple(build_near_duplicates(build_image(0)))


def _hash(images: list[Image.Image]) -> PerceptualHashes:
    return PerceptualHashes.of_rows(np.stack([hash_image(np.asarray(image)) for image in images]))


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    """Sixty images, then a near-duplicate of each of the first, one of each kind."""
    own = [build_image(seed) for seed in range(60)]
    return own + [build_near_duplicates(own[i])[kind] for i, kind in enumerate(KINDS)]


def test_components_are_numbered_in_their_order() -> None:
    assert connect(np.zeros((0, 2), np.int64), 3) is None
    found = connect(np.array([[1, 4], [2, 3], [3, 4]]), 6)
    assert found is not None
    assert found.tolist() == [0, 1, 1, 1, 1, 2]


def test_every_kind_of_near_duplicate_is_found_and_nothing_else(images: list[Image.Image]) -> None:
    hashes = _hash(images)
    expected = [[index, 60 + index] for index in range(len(KINDS))]
    assert find_near_duplicates(hashes).tolist() == expected
    first, second = hashes.take(np.arange(60)), hashes.take(np.arange(60, len(images)))
    found = find_near_duplicates_of(first, second).tolist()
    assert found == [[index, other - 60] for index, other in expected]
    assert find_near_duplicates_of(second, first).tolist() == [[j, i] for i, j in found]


def test_pairs_are_those_that_a_comparison_of_all_pairs_finds(
    images: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_duplicates, "_ROWS", 7)
    monkeypatch.setattr(near_duplicates, "_PAIRS", 3)
    hashes = _hash(images)
    first, second = np.triu_indices(len(images), 1)
    alike = hashes.take(first).count_differences(hashes.take(second)) <= MAX_DIFFERENCES
    expected = np.stack([first, second], axis=1)[alike].tolist()
    assert find_near_duplicates(hashes).tolist() == expected


def test_of_many_pairs_fewer_are_compared_by_windows(
    images: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []
    count = PerceptualHashes.count_differences

    def spy(one: PerceptualHashes, others: PerceptualHashes) -> np.ndarray:
        compared.append(len(one))
        return count(one, others)

    monkeypatch.setattr(PerceptualHashes, "count_differences", spy)
    hashes = _hash(images)
    few = len(find_near_duplicates(hashes))
    before = sum(compared)
    compared.clear()
    monkeypatch.setattr(near_duplicates, "MANY_PAIRS", 0)
    assert len(find_near_duplicates(hashes)) >= few - 1
    assert sum(compared) < before


def _open(folder: Path) -> Examples:
    source = open_source(str(folder), DataConfig())
    return join_examples([source.train, source.val])


def test_groups_hold_near_duplicates_and_copies_whatever_their_class(tmp_path: Path) -> None:
    images = [build_image(seed) for seed in range(8)]
    images += [build_near_duplicates(images[0])["mirrored"], images[1], images[2]]
    for index, image in enumerate(images):
        folder = tmp_path / "ab"[index % 2]
        folder.mkdir(exist_ok=True)
        image.save(folder / f"{index:02}.png")
    # Too small for a hash: one and a copy of it, and another that is scaled.
    tiny = build_image(50, (16, 16))
    for name, image in (("50", tiny), ("51", tiny), ("52", tiny.resize((15, 15)))):
        image.save(tmp_path / "a" / f"{name}.png")
    examples = _open(tmp_path)
    groups = group_near_duplicates(examples)
    assert groups is not None
    names = [int(Path(name).stem) for name in examples.names]
    found = {
        frozenset(names[i] for i in np.flatnonzero(groups == group)) for group in np.unique(groups)
    }
    assert {group for group in found if len(group) > 1} == {
        frozenset({0, 8}),
        frozenset({1, 9}),
        frozenset({2, 10}),
        frozenset({50, 51}),
    }
    alone = examples.take([i for i, name in enumerate(names) if 3 <= name <= 7])
    assert group_near_duplicates(alone) is None
