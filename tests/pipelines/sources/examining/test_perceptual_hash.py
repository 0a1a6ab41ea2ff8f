"""Perceptual hashes of images and of their near-duplicates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from pipelines.sources.examining.perceptual_hash import (
    NUM_BITS,
    PerceptualHashes,
    hash_image,
    unpack_bits,
)
from pipelines.sources.splitting.near_duplicates import MAX_DIFFERENCES
from tests.support.planted import build_image, build_near_duplicates

KINDS = tuple(build_near_duplicates(build_image(0)))


def _hash(images: Sequence[Image.Image]) -> PerceptualHashes:
    return PerceptualHashes.of_rows(np.stack([hash_image(np.asarray(image)) for image in images]))


def _compare(first: Image.Image, second: Image.Image) -> int:
    one, other = _hash([first]), _hash([second])
    (forth,) = one.count_differences(other)
    (back,) = other.count_differences(one)
    assert forth == back
    return int(forth)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(120, 90), (300, 400)])
def test_near_duplicates_have_similar_hashes(kind: str, size: tuple[int, int]) -> None:
    images = [build_image(seed, size) for seed in range(5)]
    found = [_compare(image, build_near_duplicates(image)[kind]) for image in images]
    assert max(found) <= MAX_DIFFERENCES


def test_different_images_have_different_hashes() -> None:
    images = [build_image(seed) for seed in range(60)]
    first, second = np.triu_indices(len(images), 1)
    hashes = _hash(images)
    found = hashes.take(first).count_differences(hashes.take(second))
    assert found.min() > 1.5 * MAX_DIFFERENCES
    assert np.median(found) < NUM_BITS / 2


def test_whole_image_has_the_bits_of_its_cosine_transform() -> None:
    from scipy.fft import dct

    image = build_image(3, (128, 128)).convert("L").convert("RGB")
    gray = np.asarray(image)[..., 0].astype(np.float64)
    small = gray.reshape(32, 4, 32, 4).mean(axis=(1, 3))
    lowest = dct(dct(small, axis=0), axis=1)[:12, :12].ravel()[1:]
    # Bits of coefficients at the median may go either way.
    clear = np.abs(lowest - np.median(lowest)) > 100
    bits = unpack_bits(hash_image(np.asarray(image))[0])
    np.testing.assert_array_equal(bits[clear], (lowest > np.median(lowest))[clear])
    assert clear.mean() > 0.9
