"""Perceptual hashes of a data set: computed once, of files and of pixels that the scan kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.sources.columns import Digests
from pipelines.sources.config import DataConfig
from pipelines.sources.examining.kept_images import KeptImages
from pipelines.sources.examining.perceptual_hash import hash_image
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.scanning import hashed_images
from pipelines.sources.scanning.hashed_images import HashedImages, are_comparable, hash_examples
from pipelines.sources.source import Examples, join_examples
from tests.support.planted import build_image
from zoo.decoding.image_decoder import ImageDecoder
from zoo.errors import DataError

ORIENTATION = 0x0112


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight images of two classes: PNG, JPEG, one that lies on its side, one that is tiny."""
    root = tmp_path / "data"
    for name in "ab":
        (root / name).mkdir(parents=True)
    for seed in range(3):
        build_image(seed, (600, 460)).save(root / "a" / f"{seed}.jpg", quality=90)
        build_image(10 + seed).save(root / "b" / f"{seed}.png")
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    build_image(5, (300, 240)).save(root / "a" / "turned.jpg", exif=exif)
    build_image(6, (19, 40)).save(root / "b" / "tiny.png")
    return root


def _open(folder: Path, kept: KeptImages | None = None) -> Examples:
    source = open_source(str(folder), DataConfig(), kept=kept)
    return join_examples([source.train, source.val])


def _comparable(examples: Examples) -> Examples:
    return examples.take(np.flatnonzero(are_comparable(examples)))


def test_images_too_small_for_a_hash_are_known_by_their_size(folder: Path) -> None:
    examples = _open(folder)
    small = np.flatnonzero(~are_comparable(examples))
    assert [examples.names[index] for index in small] == ["b/tiny.png"]
    assert not are_comparable(replace(examples, shapes=None)).any()


@pytest.mark.parametrize("needed", [0, 128, 224])
def test_kept_pixels_and_files_have_the_same_hashes(
    folder: Path, needed: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = KeptImages(ImageDecoder(needed=needed), 64)
    hashed = hash_examples(_comparable(_open(folder, kept)))
    assert len(kept)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "another"))
    examples = _comparable(_open(folder))
    assert examples.kept is None
    np.testing.assert_array_equal(hash_examples(examples).rows, hashed.rows)


def test_hash_is_that_of_the_upright_image(folder: Path) -> None:
    examples = _comparable(_open(folder))
    index = examples.names.index("a/turned.jpg")
    pixels = np.asarray(Image.open(folder / "a" / "turned.jpg").convert("RGB"))
    upright = hash_image(np.rot90(pixels, -1))
    found = hash_examples(examples).rows[index]
    assert np.bitwise_count(upright ^ found).sum(axis=1).max() <= 4
    assert np.bitwise_count(hash_image(pixels) ^ found).sum(axis=1).min() > 40


def test_hashes_are_computed_once(folder: Path, cache: Path) -> None:
    examples = _comparable(_open(folder))
    # Of a copy, the hash is that of the image.
    twice = join_examples([examples, examples.take([0])])
    first = hash_examples(twice).rows
    np.testing.assert_array_equal(first[0], first[-1])
    (file,) = cache.glob("hashes/*/*.npz")
    assert len(HashedImages.load(file)) == len(examples)
    for image in folder.rglob("*.*"):
        image.unlink()
    np.testing.assert_array_equal(hash_examples(examples).rows, first[:-1])
    assert list(cache.glob("hashes/*/*")) == [file]


def test_damaged_cache_is_computed_again(folder: Path, cache: Path) -> None:
    examples = _comparable(_open(folder))
    first = hash_examples(examples).rows
    (file,) = cache.glob("hashes/*/*.npz")
    whole = file.read_bytes()
    file.write_bytes(whole[:-200])
    np.testing.assert_array_equal(hash_examples(examples).rows, first)
    assert file.read_bytes() == whole


def test_cache_that_cannot_be_written_costs_time_alone(folder: Path, cache: Path) -> None:
    examples = _comparable(_open(folder))
    cache.mkdir(exist_ok=True)
    (cache / "hashes").write_text("in the way")
    assert len(hash_examples(examples)) == len(examples)


def test_many_files_of_the_cache_become_one(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashed_images, "_MANY_FILES", 3)
    examples = _comparable(_open(folder))
    rows = [hash_examples(examples.take([index])).rows for index in range(3)]
    (file,) = cache.glob("hashes/*/*.npz")
    assert len(HashedImages.load(file)) == 3
    np.testing.assert_array_equal(
        hash_examples(examples.take([0, 1, 2])).rows, np.concatenate(rows)
    )
    monkeypatch.setattr(hashed_images, "_MANY_FILES", 2)
    monkeypatch.setattr(hashed_images, "_MAX_IMAGES", 3)
    hash_examples(examples.take([3]))
    (file,) = cache.glob("hashes/*/*.npz")
    assert HashedImages.load(file).digests.tolist() == [examples.binary_digests[3].tolist()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"digests": np.zeros((2, 31), np.uint8)}, "digests of uint8"),
        ({"digests": np.array(2, np.uint8)}, "digests of uint8"),
        ({"hashes": np.zeros((1, 12, 3), np.uint64)}, "hashes of uint64"),
        ({"hashes": np.zeros((2, 12, 3), np.int64)}, "hashes of int64"),
        ({"more": np.zeros(1)}, "arrays digests, hashes, more"),
    ],
)
def test_file_of_another_shape_is_refused(
    tmp_path: Path, change: dict[str, np.ndarray], message: str
) -> None:
    hashed = HashedImages.of(np.zeros((2, 32), np.uint8), np.zeros((2, 12, 3), np.uint64))
    file = tmp_path / "hashes.npz"
    hashed.save(file)
    assert len(HashedImages.load(file)) == 2
    arrays = {"digests": hashed.digests, "hashes": hashed.hashes.rows} | change
    np.savez(file, **arrays)
    with pytest.raises(ValueError, match=message):
        HashedImages.load(file)


def test_image_that_changed_is_named(folder: Path) -> None:
    examples = _comparable(_open(folder))
    (folder / examples.names[2]).write_bytes(b"no image")
    other = replace(examples, digests=Digests.hash(name.encode() for name in examples.names))
    with pytest.raises(DataError, match=rf"^{examples.names[2]} changed while the job ran"):
        hash_examples(other)
