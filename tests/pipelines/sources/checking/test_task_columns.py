"""Targets of tasks from the columns of a data set, and columns that do not fit their task."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipelines.inspection.audit import audit
from pipelines.sources.checking.task_columns import count_classes
from pipelines.sources.config import DataConfig
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.opening.describe import describe
from pipelines.sources.opening.evaluation_set import open_evaluation_set
from pipelines.sources.source import Source
from tests.support.photographs import encode, photo
from zoo.errors import DataError, EmptyClassError, SingleClassError, UnseenClassError
from zoo.tasks import Task

COLOR = Task("color", "single_label", "Color")
TAGS = Task("tags", "multi_label", "tags")
SIZE = Task("size", "regression", "cm")
ROWS = [
    f"{n}.jpg,{'red' if n % 3 else 'blue'},{['', 'a', 'a|b', ' b |'][n % 4]},{n / 2}"
    for n in range(12)
]


def table(folder: Path, rows: list[str], header: str = "Path,Color,tags,cm") -> str:
    for number in range(12):
        (folder / f"{number}.jpg").write_bytes(encode(photo(number, (12, 10))))
    (folder / "t.csv").write_text("\n".join([header, *rows]), encoding="utf-8")
    return str(folder / "t.csv")


def _open(data: str, *tasks: Task) -> Source:
    return open_source(data, tasks=tasks or (COLOR, TAGS, SIZE))


def test_columns_become_targets(tmp_path: Path) -> None:
    source = _open(table(tmp_path, ROWS))
    color, tags, size = source.tasks
    assert color.class_names == ("blue", "red")
    assert tags.class_names == ("a", "b")
    assert size.class_names == ()
    for examples in source.splits.values():
        for row, name in enumerate(examples.names):
            n = int(name.removesuffix(".jpg"))
            assert color.class_names[examples.targets["color"][row]] == ("red" if n % 3 else "blue")
            assert examples.targets["tags"][row].tolist() == [
                [0, 0], [1, 0], [1, 1], [0, 1]
            ][n % 4]  # fmt: skip
            assert examples.targets["size"][row] == n / 2
        np.testing.assert_array_equal(examples.labels, examples.targets["color"])


def test_numbers_are_standardized_by_the_training_images_alone(tmp_path: Path) -> None:
    source = _open(table(tmp_path, ROWS))
    numbers = [float(n.removesuffix(".jpg")) / 2 for n in source.train.names]
    assert source.tasks[2].mean == pytest.approx(np.mean(numbers))
    assert source.tasks[2].std == pytest.approx(np.std(numbers))
    assert np.mean(numbers) != pytest.approx(2.75), "that would be the mean of all"


def test_task_survives_json() -> None:
    for task in (
        COLOR,
        Task("n", "regression", "n", (), 1.5, 2.0),
        Task("t", "multi_label", "t", ("a",)),
    ):
        assert Task.from_json(task.to_json()) == task
    for values in ({}, {"name": "a", "kind": "no", "class_names": []}, {"class_names": 3}):
        with pytest.raises(ValueError, match="not the values of a task"):
            Task.from_json(values)


def test_classes_of_a_folder_are_a_column_called_label(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
        for number in range(3):
            (tmp_path / name / f"{number}.png").write_bytes(encode(photo(number, (9, 9))))
    source = _open(str(tmp_path), Task("letter", "single_label"))
    assert source.tasks[0].class_names == ("a", "b", "c")
    np.testing.assert_array_equal(source.train.targets["letter"], source.train.labels)
    with pytest.raises(
        DataError,
        match=r"no column 'cm', which the task 'size' reads; expected label; --set tasks\.size",
    ):
        _open(str(tmp_path), SIZE)


@pytest.mark.train
def test_textures_have_columns_for_what_was_drawn(textures: Source) -> None:
    tasks = [
        Task("texture", "single_label"),
        Task("tint", "single_label", "tint"),
        Task("litter", "multi_label", "litter"),
        Task("angle", "regression", "angle"),
    ]
    source = open_source("textures", tasks=tasks)
    assert source.train.encoded == textures.train.encoded
    np.testing.assert_array_equal(source.val.targets["texture"], textures.val.labels)
    assert source.tasks[1].class_names == ("blue", "green", "red")
    assert source.tasks[2].class_names == ("disc", "stick")
    angles = source.train.targets["angle"]
    # Uniform within 0.8 radians: its deviation is its width by the root of twelve.
    assert source.tasks[3].std == pytest.approx(np.degrees(1.6) / np.sqrt(12), rel=0.03)
    assert np.abs(angles).max() <= np.degrees(0.8)


@pytest.mark.parametrize(
    ("rows", "tasks", "message"),
    [
        (["0.jpg,,,1"], [COLOR], r"0\.jpg of .* has no value in the column 'Color'; expected a"),
        (["0.jpg,a,,big"], [SIZE], r"0\.jpg of .* has no number in .*'cm'; .* received 'big'"),
        (["0.jpg,a,,nan"], [SIZE], r"no number in the column 'cm'"),
        (["0.jpg,a,,"], [SIZE], r"no number in the column 'cm'; .* received ''"),
        (["0.jpg,a,,1", "1.jpg,b,,1", "2.jpg,b,,1"], [SIZE], r"the same number for every training"),
        (["0.jpg,a,,1", "1.jpg,a,,1"], [COLOR], r"'Color' .* leaves the task 'color' nothing"),
        (["0.jpg,a,,1", "1.jpg,a,,1"], [TAGS], r"expected at least one label; received none"),
        (["0.jpg,a,,1", "0.jpg,b,,1"], [COLOR], r"Lines 2 and 3 .* disagree .* a and b"),
        ([], [COLOR], "nothing below"),
        (ROWS, [Task("age", "regression", "age")], r"no column 'age', .* Color, tags, cm"),
    ],
)  # fmt: skip
def test_column_that_does_not_fit_its_task_is_refused(
    tmp_path: Path, rows: list[str], tasks: list[Task], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        _open(table(tmp_path, rows), *tasks)
    assert "\n" not in str(caught.value)


def test_rows_that_differ_in_unused_columns_count_once(tmp_path: Path) -> None:
    source = _open(table(tmp_path, [*ROWS, "0.jpg,blue,zzz,99"]), COLOR)
    assert describe(source) == ["skipped 0.jpg: listed again on line 14"]


@pytest.mark.parametrize(
    ("rows", "task", "error"),
    [
        (["0.jpg,a,,1,train", "1.jpg,b,,1,train", "2.jpg,c,,1,val"], COLOR, UnseenClassError),
        (["0.jpg,a,x,1,train", "1.jpg,b,x,1,train", "2.jpg,c,y,1,val"], TAGS, UnseenClassError),
        (["0.jpg,a,x,1,train", "2.jpg,c,y,1,val"], COLOR, UnseenClassError),
        (["0.jpg,a,x,1,train", "2.jpg,a,y,1,val"], COLOR, SingleClassError),
    ],
)
def test_class_without_training_images_is_named(
    tmp_path: Path, rows: list[str], task: Task, error: type[Exception]
) -> None:
    with pytest.raises(error, match="column"):
        _open(table(tmp_path, rows, "path,Color,tags,cm,split"), task)


def test_class_whose_images_do_not_decode_is_named(tmp_path: Path) -> None:
    data = table(tmp_path, [*ROWS, "bad.jpg,green,,1"])
    (tmp_path / "bad.jpg").write_bytes(b"none")
    with pytest.raises(EmptyClassError, match=r"'green' .* has no image that can be decoded"):
        open_source(data, DataConfig(max_undecodable=0.5), tasks=[COLOR])


def test_rare_labels_are_in_every_split(tmp_path: Path) -> None:
    # Three of twelve are rare, and each of them is common as well.
    rows = [f"{n}.jpg,a,{'common|rare' if n < 3 else 'common'},1" for n in range(12)]
    for seed in range(5):
        config = DataConfig(val_fraction=0.2, test_fraction=0.2)
        source = open_source(table(tmp_path, rows), config, seed=seed, tasks=[TAGS])
        assert source.class_names == ("common", "rare", "others")
        for examples in source.splits.values():
            assert count_classes(examples, source.tasks[0])[1] == 1


def test_split_is_stratified_by_the_first_single_label_task(tmp_path: Path) -> None:
    source = _open(table(tmp_path, ROWS), SIZE, TAGS, COLOR)
    assert source.class_names == ("blue", "red")
    assert Counter(source.val.targets["color"].tolist()) == {0: 1, 1: 2}


def test_model_keeps_its_classes_on_new_images(tmp_path: Path) -> None:
    data = table(tmp_path, ROWS[:3])
    known = [
        Task("color", "single_label", "Color", ("green", "red", "blue")),
        Task("tags", "multi_label", "tags", ("b", "a", "c")),
        Task("size", "regression", "cm", (), 1.0, 3.0),
    ]
    found = open_evaluation_set(data, DataConfig(), known)
    assert found.tasks == tuple(known)
    assert found.splits["all"].targets["color"].tolist() == [2, 1, 1]
    assert found.splits["all"].targets["tags"].tolist() == [[0, 0, 0], [0, 1, 0], [1, 1, 0]]
    known[0] = Task("color", "single_label", "Color", ("green", "red"))
    with pytest.raises(DataError, match="that the model does not know: blue; expected green, red"):
        open_evaluation_set(data, DataConfig(), known)


def test_audit_validates_the_tasks(tmp_path: Path) -> None:
    found = audit(table(tmp_path, ROWS), tasks=[COLOR, SIZE])
    assert found.counts == {"blue": {"all": 4}, "red": {"all": 8}}
    assert found.blocking == ()
    rows = [row.replace("red", "blue") for row in ROWS]
    assert "nothing to tell apart" in audit(table(tmp_path, rows), tasks=[COLOR]).blocking[0]
