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
from pipelines.training.fold_heads import divide
from tests.support.photographs import Fill, encode, photo
from tests.support.planted import build_image, build_near_duplicates
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


def _write_twins(folder: Path) -> Path:
    """Ten images of two classes; of a, one again in b, mirrored, and one smaller."""
    images = [build_image(seed) for seed in range(10)]
    twins = {
        "b/twin0": build_near_duplicates(images[0])["mirrored"],
        "a/twin2": build_near_duplicates(images[2])["smaller"],
    }
    named = {f"{'ab'[n % 2]}/{n}": image for n, image in enumerate(images)} | twins
    for name, image in named.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{name}.png")
    return folder


TWINS = {frozenset({"a/0.png", "b/twin0.png"}), frozenset({"a/2.png", "a/twin2.png"})}


@pytest.mark.parametrize("seed", range(5))
def test_near_duplicates_are_on_one_side_where_that_is_asked(tmp_path: Path, seed: int) -> None:
    data = str(_write_twins(tmp_path))
    source = open_source(data, DataConfig(group="near_duplicates"), seed=seed)
    assert grouped_names(source) == TWINS
    for names in TWINS:
        assert any(names <= set(part.names) for part in source.splits.values())
    both = join_examples([source.train, source.val])
    for _, held in divide(both, 2, seed):
        own = {both.names[index] for index in held}
        assert all(len(names & own) in (0, 2) for names in TWINS)
    assert "2 groups of images and 8 that stand alone" in describe(source)[0]
    assert open_source(data, DataConfig(), seed=seed).train.groups is None


def test_near_duplicates_join_the_groups_of_a_column(tmp_path: Path) -> None:
    rows = ["a,x", "b,x", "a,", "b,y", "a,y", "b,", "a,", "b,", *["a,", "b,"] * 3]
    data = write_table(tmp_path, "path,label,group", rows)
    for number in range(len(rows)):
        build_image(number).save(tmp_path / f"{number}.jpg", quality=95)
    build_near_duplicates(build_image(1))["brighter"].save(tmp_path / "5.jpg", quality=95)
    build_near_duplicates(build_image(6))["smaller"].save(tmp_path / "7.jpg", quality=95)
    source = open_source(data, DataConfig(group="near_duplicates"))
    assert grouped_names(source) == {
        frozenset({"0.jpg", "1.jpg", "5.jpg"}),
        frozenset({"3.jpg", "4.jpg"}),
        frozenset({"6.jpg", "7.jpg"}),
    }


def test_without_near_duplicates_every_image_stands_alone(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / "ab"[number % 2]).mkdir(exist_ok=True)
        build_image(number).save(tmp_path / "ab"[number % 2] / f"{number}.png")
    source = open_source(str(tmp_path), DataConfig(group="near_duplicates"))
    assert grouped_names(source) == set()
    assert describe(source) == []


def test_given_splits_that_divide_near_duplicates_are_said(tmp_path: Path) -> None:
    _write_twins(tmp_path / "train")
    (tmp_path / "val" / "b").mkdir(parents=True)
    (tmp_path / "train" / "b" / "twin0.png").rename(tmp_path / "val" / "b" / "twin0.png")
    build_image(30).save(tmp_path / "val" / "b" / "30.png")
    remarks = open_source(str(tmp_path), DataConfig(group="near_duplicates")).remarks
    assert any(said.startswith("1 of 2 val images belong to groups") for said in remarks)


def test_groups_are_called_as_their_owner_calls_them(tmp_path: Path) -> None:
    source = open_source(write_table(tmp_path, "path,label,group", ROWS))
    whole = join_examples([*source.splits.values()])
    assert whole.groups is not None
    called = {
        name: whole.group_names[group] if group >= 0 else ""
        for name, group in zip(whole.names, whole.groups.tolist(), strict=True)
    }
    assert called == {f"{n}.jpg": row.split(",")[1] for n, row in enumerate(ROWS)}
