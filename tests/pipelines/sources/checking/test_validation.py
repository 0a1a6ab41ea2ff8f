"""Validation of data sets: empty, single and unseen classes, class names, excluded images."""

from __future__ import annotations

import re

import pytest

from pipelines.inspection.audit import audit
from pipelines.sources.config import DataConfig
from pipelines.sources.opening.dataset import open_source
from tests.support.photographs import Fill
from zoo.errors import (
    DataError,
    EmptyClassError,
    NoImagesError,
    SingleClassError,
    UndecodableError,
    UnseenClassError,
)


def test_empty_class_folder_is_refused(fill: Fill) -> None:
    fill("ants", 3)
    fill("bees", 3)
    with pytest.raises(EmptyClassError, match=r"received wasps/; add images"):
        open_source(str(fill("wasps")))


def test_class_without_a_decodable_image_is_refused(fill: Fill) -> None:
    fill("ants", 30)
    root = fill("bees", 0, a__jpg=b"")
    with pytest.raises(EmptyClassError, match=r"'bees'.* has no image that can be decoded"):
        open_source(str(root))


def test_single_class_is_refused(fill: Fill) -> None:
    with pytest.raises(SingleClassError, match="at least two classes; received ants; add"):
        open_source(str(fill("ants", 3)))


def test_folder_above_the_class_folders_is_refused_with_advice(fill: Fill) -> None:
    fill("images/ants", 3)
    with pytest.raises(SingleClassError, match="point at the folder 'images'"):
        open_source(str(fill("images/bees", 3)))


def test_class_without_training_images_is_refused(fill: Fill) -> None:
    for folder in ("train/ants", "train/bees", "val/ants", "val/wasps"):
        root = fill(folder, 2)
    with pytest.raises(UnseenClassError, match=r"'wasps' .* has images in val and none in train"):
        open_source(str(root))


def test_folder_without_images_is_refused(fill: Fill) -> None:
    with pytest.raises(NoImagesError, match=r"no labeled image .*expected one folder per class"):
        open_source(str(fill(".")))


def test_images_without_class_folders_are_refused(fill: Fill) -> None:
    with pytest.raises(NoImagesError, match=r"3 images outside class folders, .*; make"):
        open_source(str(fill(".", 3)))


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\x85b", " ants", "ants ", "\t"])
def test_class_name_that_fits_no_line_is_refused(fill: Fill, name: str) -> None:
    fill("bees", 3)
    root = fill(name, 3)
    message = re.escape(f"The name of class {name!r} of ") + r".*line of labels\.txt; .*; rename"
    with pytest.raises(DataError, match=message):
        open_source(str(root))
    found = audit(str(root))
    assert re.match(message, found.blocking[0])
    assert all(line.isprintable() for line in found.lines())
    without = open_source(str(fill("wasps", 3)), DataConfig(exclude=(name,)))
    assert without.class_names == ("bees", "wasps")


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("form", ["folder", "table"])
def test_split_that_does_not_decode_is_not_replaced(fill: Fill, split: str, form: str) -> None:
    fill("train/ants", 40)
    fill("train/bees", 40)
    root = fill(f"{split}/ants", 0, a__jpg=b"", b__jpg=b"none")
    data = root
    if form == "table":
        data = root / "t.csv"
        files = [f.relative_to(root) for f in sorted(root.rglob("*.jpg"))]
        rows = (f"{f},{f.parent.name},{f.parent.parent}\n" for f in files)
        data.write_text("path,label,split\n" + "".join(rows))
    message = rf"None of the 2 images in the {split} split of .*; received .*a\.jpg \(empty file\);"
    with pytest.raises(UndecodableError, match=message):
        open_source(str(data))
    assert any(re.match(message, text) for text in audit(str(data)).blocking)
