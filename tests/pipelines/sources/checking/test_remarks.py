"""Remarks: spellings, missing classes, imbalance, leaks and contradictory copies."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.inspection.audit import audit
from pipelines.sources.opening.dataset import open_source
from tests.support.photographs import Fill, encode, photo
from zoo.tasks import Task

COPY = encode(photo(1000, (12, 10)))


def test_data_set_in_order_is_not_remarked(fill: Fill) -> None:
    fill("ants", 6)
    assert open_source(str(fill("bees", 6))).remarks == ()


@pytest.mark.parametrize(
    "names", [("Ants", "ants"), ("golden retriever", "golden_retriever"), ("ﬁsh", "fish")]
)
def test_classes_that_differ_only_in_spelling_are_named(fill: Fill, names: tuple[str, str]) -> None:
    for name in (*names, "wasps"):
        root = fill(name, 3)
    source = open_source(str(root))
    assert len(source.class_names) == 3, "they are not merged"
    first, second = (repr(name) for name in source.class_names if name != "wasps")
    said = f"classes {first} and {second} differ only in spelling; if they are one, rename them"
    assert source.remarks == (said,)
    found = audit(str(root))
    assert found.remarks == (said,)
    assert not found.clean
    assert said in found.lines()


def test_class_that_a_split_lacks_is_named(fill: Fill) -> None:
    for folder in ("train/ants", "train/bees", "val/bees", "test/ants", "test/bees"):
        root = fill(folder, 3)
    assert open_source(str(root)).remarks == ("val has no image of class 'ants'",)


def test_many_missing_classes_take_one_line(fill: Fill) -> None:
    for number in range(9):
        fill(f"train/c{number}", 1)
    (said,) = open_source(str(fill("val/c0", 1))).remarks
    assert said == "val has no image of classes 'c1', 'c2', 'c3', 'c4', 'c5' and 3 more"


def test_imbalance_is_said(fill: Fill) -> None:
    fill("ants", 20)
    said = "20 images of 'ants' for 2 of 'bees' in training: read macro F1 beside accuracy"
    assert open_source(str(fill("bees", 2))).remarks == (said,)
    fill("bees", 1)
    assert open_source(str(fill("bees"))).remarks == ()


def test_copies_of_training_images_in_other_splits_are_counted(fill: Fill) -> None:
    for folder in ("train/ants", "train/bees", "val/ants", "val/bees", "test/ants", "test/bees"):
        root = fill(folder, 3)
    fill("train/ants", 0, a__jpg=COPY)
    fill("val/ants", 0, b__jpg=COPY, c__jpg=COPY)
    assert open_source(str(root)).remarks == (
        "2 of 8 val images are copies of training images; metrics on these are too optimistic",
    )


def test_copies_with_other_labels_are_said(fill: Fill, tmp_path: Path) -> None:
    fill("ants", 6, a__jpg=COPY, b__jpg=COPY)
    root = fill("bees", 6, c__jpg=COPY)
    said = (
        "1 image has copies with other labels, as ants/a.jpg = ants/b.jpg = bees/c.jpg; "
        "`zoo audit` lists all"
    )
    source = open_source(str(root))
    assert source.remarks == (said,)
    sides = {name: list(part.names) for name, part in source.splits.items()}
    holders = [s for s, held in sides.items() if {"ants/a.jpg", "bees/c.jpg"} & set(held)]
    assert len(holders) == 1


def test_copies_with_other_targets_of_a_task_are_said(tmp_path: Path) -> None:
    rows = ""
    for number in range(9):
        (tmp_path / f"{number}.jpg").write_bytes(encode(photo(number, (12, 10))))
        rows += f"{number}.jpg,{'ab'[number % 2]},{number % 3},x|{'yz'[number % 2]}\n"
    for number in (20, 21):
        (tmp_path / f"{number}.jpg").write_bytes(COPY)
    rows += "20.jpg,a,2,x|y\n21.jpg,a,2,x|z\n"
    data = tmp_path / "t.csv"
    data.write_text("path,kind,size,tags\n" + rows)
    kinds = {"kind": "single_label", "size": "regression", "tags": "multi_label"}
    for name, kind in kinds.items():
        remarks = open_source(str(data), tasks=[Task(name, kind, name)]).remarks
        assert any("20.jpg = 21.jpg" in text for text in remarks) == (name == "tags")
