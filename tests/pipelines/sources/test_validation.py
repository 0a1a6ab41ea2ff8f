"""Validation of data sets: empty, single and unseen classes, class names, excluded images."""

from __future__ import annotations

import re

import pytest

from pipelines.inspection.audit import audit
from pipelines.sources.config import DataConfig
from pipelines.sources.dataset import open_source
from tests.support.photographs import Fill
from zoo.errors import (
    DataError,
    EmptyClassError,
    NoImagesError,
    SingleClassError,
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


@pytest.mark.parametrize("pattern", ["ants/0000.jpg", "*0.jpg", "ants/000[0]*"])
def test_exclude_matches_names_and_patterns(fill: Fill, pattern: str) -> None:
    fill("ants", 5)
    source = open_source(str(fill("bees", 5)), DataConfig(exclude=(pattern,)))
    names = [name for part in source.splits.values() for name in part.names]
    assert len(names) == 9
    assert "ants/0000.jpg" not in names


def test_exclude_matches_a_name_with_brackets(fill: Fill) -> None:
    root = fill("ants", 3)
    fill("bees", 3)
    (root / "ants" / "a[1].jpg").write_bytes(b"")
    assert not open_source(str(root), DataConfig(exclude=("ants/a[1].jpg",))).skipped


def test_exclude_drops_a_class_without_images_left(fill: Fill) -> None:
    for name in ("ants", "bees", "wasps"):
        root = fill(name, 4)
    source = open_source(str(root), DataConfig(exclude=("bees",)))
    assert source.class_names == ("ants", "wasps")
    assert set(source.train.labels.tolist()) == {0, 1}
    with pytest.raises(NoImagesError, match="no labeled image"):
        open_source(str(root), DataConfig(exclude=("*",)))
