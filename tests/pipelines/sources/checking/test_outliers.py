"""Outliers: placeholders and thumbnails among photographs."""

from __future__ import annotations

import tarfile
from pathlib import Path

from PIL import Image

from pipelines.sources.opening.dataset import open_source
from pipelines.sources.opening.describe import describe
from tests.support.photographs import Fill, encode, photo


def test_placeholders_and_thumbnails_are_outliers(fill: Fill) -> None:
    drawing = Image.new("RGB", (300, 200), "white")
    drawing.paste("black", (100, 80, 200, 120))
    fill("ants", 0, **{f"{i}__jpg": encode(photo(i, (200, 150))) for i in range(20)})
    fill("bees", 0, **{f"{i}__jpg": encode(photo(99 - i, (200, 150))) for i in range(20)})
    fill("bees", 0, blank__jpg=encode(Image.new("RGB", (200, 150), "gray")))
    fill("bees", 0, gone__gif=encode(drawing, "GIF"), icon__jpg=encode(photo(7, (12, 12))))
    source = open_source(str(fill(".", 0)))
    assert {finding.name: finding.reason for finding in source.outliers} == {
        "bees/blank.jpg": "1 color: a drawing or placeholder?",
        "bees/gone.gif": "GIF among JPEG files, 2 colors: a drawing or placeholder?",
        "bees/icon.jpg": "12x12 pixels, where the shorter side usually has 150: a thumbnail?",
    }
    assert describe(source)[-1].endswith(
        "leave it out with --set 'data.exclude=[\"bees/icon.jpg\"]')"
    )


def test_hymenoptera_has_one_outlier_and_no_more(shared: Path, tmp_path: Path) -> None:
    with tarfile.open(shared / "data/hymenoptera.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    root = tmp_path
    while not (root / "train").is_dir():
        root = next(path for path in root.iterdir() if path.is_dir())
    source = open_source(str(root))
    assert source.class_names == ("ants", "bees")
    assert len(source.val) == 153
    assert len(source.train) == 245
    assert not source.skipped
    (outlier,) = source.outliers
    assert outlier.name == "train/ants/imageNotFound.gif"
    assert outlier.reason == "GIF among JPEG files, 33 colors: a drawing or placeholder?"
