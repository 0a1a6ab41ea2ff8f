"""Embedded data set `signs`: the file is that of its card, and can be made again."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from pipelines.sources.config import DataConfig
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.signs.convert import convert
from pipelines.sources.signs.reader import ARCHIVE, CLASS_NAMES, read_signs
from zoo.files import sha256_of

# It may change only together with the file; caches key images by their own bytes.
SHA256 = "63aa77e770c529b88aebd584a57486c7d1cab51c956303d5c79c35c8e2da0f2a"
PILLOW = "13.0.0"
"""The version that made the file; others may encode JPEG differently."""


def test_file_is_that_of_the_card() -> None:
    card = ARCHIVE.with_suffix(".md").read_text(encoding="utf-8")
    assert sha256_of(ARCHIVE) == SHA256
    size = ARCHIVE.stat().st_size
    assert size < 5_000_000
    for text in (SHA256, f"{size:,} bytes", "Apache-2.0", "arxiv.org/abs/2011.08927", "Limits"):
        assert text in card


def test_notice_names_the_authors(root: Path) -> None:
    notice = (root / "NOTICE").read_text(encoding="utf-8")
    assert "pipelines/sources/signs/signs.zip" in notice
    assert "arxiv.org/abs/2011.08927" in notice


def test_splits_are_fixed_and_stratified() -> None:
    parts = open_source("signs", DataConfig(val_fraction=0.5, test_fraction=0.4), seed=3).splits
    assert {name: len(part) for name, part in parts.items()} == {
        "train": 600,
        "val": 150,
        "test": 250,
    }
    for split, part in parts.items():
        assert list(np.bincount(part.labels)) == [len(part) // 10] * 10
        assert part.names == tuple(sorted(part.names))
        for name, label in zip(part.names, part.labels, strict=True):
            assert name.startswith(f"{split}/{CLASS_NAMES[label]}/")
            assert name.endswith(".jpg")


def test_fewer_training_images_leave_the_other_splits_as_they_are() -> None:
    parts = open_source("signs", DataConfig(train_per_class=30), seed=1).splits
    assert [len(part) for part in parts.values()] == [300, 150, 250]


def test_no_photograph_is_in_two_splits_and_none_has_metadata() -> None:
    source = open_source("signs")
    assert not source.skipped
    assert not source.outliers
    digests = [digest for part in source.splits.values() for digest in part.digests]
    assert len(set(digests)) == 1000
    for part in read_signs().splits.values():
        for content in part.encoded or ():
            image = Image.open(io.BytesIO(content))
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (100, 100))
            assert not image.getexif()


def test_conversion_reads_what_was_published(shared: Path, tmp_path: Path) -> None:
    published = shared / "data" / "signs.tar"
    if PIL.__version__ == PILLOW:
        made = convert(published, tmp_path)
        assert made.read_bytes() == ARCHIVE.read_bytes()
    # By another version, too, each shipped photograph is near the one of its name.
    kept = {
        name.partition("/")[2]: content
        for part in read_signs().splits.values()
        for name, content in zip(part.names, part.encoded or (), strict=True)
    }
    with tarfile.open(published) as archive:
        for number, member in enumerate(archive.getmembers()):
            path = Path(member.name)
            if path.suffix != ".JPG" or number % 10:
                continue
            file = archive.extractfile(member)
            assert file is not None
            with Image.open(io.BytesIO(file.read())) as image:
                original = np.asarray(image.convert("RGB"), float)
            shipped = kept[f"{path.parent.name}/{path.stem}.jpg"]
            found = np.asarray(Image.open(io.BytesIO(shipped)), float)
            if original.shape == found.shape:
                assert np.abs(original - found).mean() < 8


@pytest.mark.parametrize("name", ["signs", "./signs"])
def test_the_name_is_no_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.sources.listing.catalog import kind_of

    (tmp_path / "signs").mkdir()
    monkeypatch.chdir(tmp_path)
    assert kind_of(name).name == ("signs" if name == "signs" else "folder")
