"""Groups by names and by a table's column: how they are read, checked and said."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from pipelines.inspection.audit import audit
from pipelines.sources.config import ColumnNames, DataConfig
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.opening.describe import describe
from pipelines.sources.opening.evaluation_set import open_evaluation_set
from pipelines.sources.source import Source, join_examples
from tests.support.photographs import Fill, encode, photo
from zoo.errors import DataError
from zoo.tasks import CLASSIFICATION, Task


def write_table(folder: Path, heading: str, rows: list[str]) -> str:
    for number in range(len(rows)):
        (folder / f"{number}.jpg").write_bytes(encode(photo(number, (12, 10))))
    lines = [f"{number}.jpg,{row}" for number, row in enumerate(rows)]
    (folder / "labels.csv").write_text("\n".join([heading, *lines]))
    return str(folder / "labels.csv")


def grouped_names(source: Source) -> set[frozenset[str]]:
    """Returns the groups of several images, by their names."""
    whole = join_examples([*source.splits.values()])
    assert whole.groups is not None
    groups: dict[int, set[str]] = {}
    for name, number in zip(whole.names, whole.groups.tolist(), strict=True):
        if number >= 0:
            groups.setdefault(number, set()).add(name)
    return {frozenset(names) for names in groups.values()}


ROWS = ["a,x", "b,y", "a,x", "b,y", "a,z", "b,", "a,", "b,w"]
PAIRS = {frozenset({"0.jpg", "2.jpg"}), frozenset({"1.jpg", "3.jpg"})}
SINGLES = {frozenset({"4.jpg"}), frozenset({"7.jpg"})}


@pytest.mark.parametrize("heading", ["path,label,group", "Path,Label,GROUP", "path,label,patient"])
def test_column_of_a_table_groups_its_images(tmp_path: Path, heading: str) -> None:
    data = write_table(tmp_path, heading, ROWS)
    named = DataConfig(columns=ColumnNames(group="patient"))
    source = open_source(data, named if "patient" in heading else None)
    assert grouped_names(source) == PAIRS | SINGLES
    for group in PAIRS:
        assert group <= set(source.train.names) or group <= set(source.val.names)
    assert describe(source) == [
        "4 groups of images and 2 that stand alone: neither a split nor a fold made here divides "
        "one"
    ]


def test_column_can_be_left_unread_and_may_be_that_of_a_task(tmp_path: Path) -> None:
    data = write_table(tmp_path, "path,label,group", ROWS)
    source = open_source(data, DataConfig(columns=ColumnNames(group="")))
    assert source.train.groups is None
    task = Task(name="side", kind="single_label", column="group")
    source = open_source(
        write_table(tmp_path, "path,label,group", ["a,x", "b,y"] * 4), tasks=[task]
    )
    assert source.train.groups is None
    assert source.tasks[0].class_names == ("x", "y")


def test_named_column_must_be_there(tmp_path: Path) -> None:
    data = write_table(tmp_path, "path,label,who", ROWS)
    with pytest.raises(DataError, match="has no column 'patient'"):
        open_source(data, DataConfig(columns=ColumnNames(group="patient")))


def test_rows_that_put_an_image_into_two_groups_contradict_each_other(tmp_path: Path) -> None:
    data = write_table(tmp_path, "path,label,group", ROWS)
    with Path(data).open("a") as file:
        file.write("\n0.jpg,a,y\n")
    message = (
        r"Lines 2 and 10 .* 0\.jpg; expected one label and one split and one group .*a/x and a/y"
    )
    with pytest.raises(DataError, match=message):
        open_source(data)


@pytest.mark.parametrize("pattern", [r"p(\d)_", r"p\d", r"(?:^|/)(p\d)(_.*)?"])
def test_pattern_groups_images_by_their_names(tmp_path: Path, pattern: str) -> None:
    for number in range(12):
        place = tmp_path / ("ants", "bees")[number % 2]
        place.mkdir(exist_ok=True)
        name = f"p{number // 4}_{number}" if number < 10 else f"other{number}"
        (place / f"{name}.jpg").write_bytes(encode(photo(number, (12, 10))))
    source = open_source(str(tmp_path), DataConfig(group=pattern))
    found = grouped_names(source)
    assert sorted(map(len, found)) == [2, 4, 4]
    for names in found:
        assert len({name.split("/")[1][:2] for name in names}) == 1
        assert {name.split("/")[0] for name in names} == {"ants", "bees"}
        assert names <= set(source.train.names) or names <= set(source.val.names)


def test_pattern_takes_the_place_of_a_column(tmp_path: Path) -> None:
    data = write_table(tmp_path, "path,label,group", ROWS)
    source = open_source(data, DataConfig(group="[01]|[67]"))
    assert grouped_names(source) == {frozenset({f"{n}.jpg"}) for n in "0167"}


def test_pattern_that_matches_nothing_is_refused_for_training_alone(fill: Fill) -> None:
    fill("ants", 4)
    root, config = str(fill("bees", 4)), DataConfig(group="patient_.*")
    message = (
        r"data\.group matches no image of .*; expected a regular .* ants/.*; received patient_"
    )
    with pytest.raises(DataError, match=message):
        open_source(root, config)
    (blocking,) = audit(root, config).blocking
    assert "data.group matches no image" in blocking
    assert len(open_evaluation_set(root, config, [CLASSIFICATION]).splits["all"]) == 8


def test_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"data\.group is no regular expression: .*'p\('"):
        DataConfig(group="p(")


def test_given_splits_that_divide_groups_are_said(fill: Fill) -> None:
    for folder in ("train/ants", "train/bees", "val/ants", "val/bees"):
        root = fill(folder, 3)
    config = DataConfig(group=r"(\d)\.")
    (said,) = open_source(str(root), config).remarks
    assert said == (
        "2 of 6 val images belong to groups that training has images of, as val/bees/0010.jpg and "
        "train/ants/0000.jpg; metrics on these are too optimistic"
    )
    assert said in audit(str(root), config).remarks
