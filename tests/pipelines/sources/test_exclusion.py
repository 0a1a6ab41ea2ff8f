"""Excluded images: by names, folders, classes, labels and globs, whatever their case."""

from __future__ import annotations

from pathlib import Path
from unicodedata import normalize

import pytest

from pipelines.sources.config import DataConfig
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.opening.describe import describe
from tests.support.photographs import Fill, encode, photo
from zoo.errors import NoImagesError
from zoo.tasks import Task


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


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("*.heic", 10),
        ("IMG_0.heic", 11),
        ("train/Ants/img_0.HEIC", 10),
        ("TRAIN/BEES", 8),
        ("train/Bees/", 8),
        ("ants", 5),
        ("ANTS", 5),
        ("a*s", 5),
        ("café", 9),
        (normalize("NFD", "CAFÉ"), 9),
    ],
)
def test_case_form_and_class_do_not_matter(fill: Fill, pattern: str, left: int) -> None:
    heic = encode(photo(99))
    fill("train/Ants", 4, **{"IMG_0__HEIC": heic})
    fill("train/bees", 3)
    fill("train/café", 2)
    root = fill("val/Ants", 1)
    config = DataConfig(exclude=(pattern,))
    if left == 11:
        assert describe(open_source(str(root), config)) == [
            "'IMG_0.heic' of data.exclude matches nothing",
            "val has no image of classes 'bees', 'café'",
        ]
        return
    source = open_source(str(root), config)
    assert sum(map(len, source.splits.values())) == left
    assert source.remarks[0] == f"data.exclude leaves out {11 - left} of 11 images"


def test_labels_of_a_table_are_excluded(tmp_path: Path) -> None:
    rows = ""
    for number in range(12):
        (tmp_path / f"{number}.jpg").write_bytes(encode(photo(number, (12, 10))))
        rows += f"{number}.jpg,{('Ants,red|Odd', 'bees,', 'unknown,red')[number % 3]}\n"
    data = tmp_path / "t.csv"
    data.write_text("path,label,tags\n" + rows)
    source = open_source(str(data), DataConfig(exclude=("UNKNOWN",)))
    assert source.class_names == ("Ants", "bees")
    tasks = [Task("kind", "single_label", "label"), Task("tags", "multi_label", "tags")]
    source = open_source(str(data), DataConfig(exclude=("unk*", "odd")), tasks=tasks[1:])
    assert source.tasks[0].class_names == ("red",)
    source = open_source(str(data), DataConfig(exclude=("unk*",)), tasks=tasks)
    assert [task.class_names for task in source.tasks] == [("Ants", "bees"), ("Odd", "red")]


def test_unlabeled_images_have_no_class_to_exclude(fill: Fill) -> None:
    root = fill(".", 4)
    source = open_source(str(root), DataConfig(exclude=("images",)), labeled=False)
    assert sum(map(len, source.splits.values())) == 4
