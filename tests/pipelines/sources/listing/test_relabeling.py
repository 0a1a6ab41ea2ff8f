"""Labels corrected by a table: what changes, what is refused, and that the data set stays."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from pipelines.sources.config import DataConfig
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.opening.evaluation_set import open_evaluation_set
from pipelines.sources.source import Source
from tests.support.tiny import CLASSES, write_images
from zoo.errors import DataError
from zoo.files import sha256_of
from zoo.tasks import classification


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("relabeled") / "data", 6)


def _labels(source: Source) -> dict[str, str]:
    return {
        name: source.class_names[label]
        for part in source.splits.values()
        for name, label in zip(part.names, part.labels.tolist(), strict=True)
    }


def _table(folder: Path, *rows: str) -> str:
    file = folder / "labels.csv"
    file.write_text("\n".join(("path,label,suggested", *rows)) + "\n", encoding="utf-8")
    return str(file)


def test_labels_that_a_table_names_change_and_no_file_does(data: Path, tmp_path: Path) -> None:
    before = {file: sha256_of(file) for file in data.rglob("*.jpg")}
    plain = open_source(str(data))
    table = _table(
        tmp_path, "red/000.jpg,green,green", "blue/001.jpg,,red", "green/002.jpg,green,blue"
    )
    corrected = open_source(str(data), DataConfig(relabel=table))
    expected = _labels(plain) | {"red/000.jpg": "green"}
    del expected["blue/001.jpg"]
    assert _labels(corrected) == expected
    assert corrected.class_names == CLASSES
    (task,) = corrected.tasks
    for part in corrected.splits.values():
        np.testing.assert_array_equal(part.targets[task.name], part.labels)
    assert "data.relabel changes 1 of 18 labels and leaves 1 out" in corrected.remarks
    assert corrected.digest != plain.digest
    assert {file: sha256_of(file) for file in data.rglob("*.jpg")} == before


def test_names_of_splits_tables_and_composed_letters(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", 4)
    name = unicodedata.normalize("NFD", "é.jpg")
    (images / "red" / "000.jpg").rename(images / "red" / name)
    given = tmp_path / "given"
    for split in ("train", "val"):
        shutil.copytree(images, given / split)
    rows = [f"train/red/{unicodedata.normalize('NFC', 'é.jpg')},blue,", "val/blue/001.jpg,red,"]
    found = _labels(open_source(str(given), DataConfig(relabel=_table(tmp_path, *rows))))
    composed = {unicodedata.normalize("NFC", key): value for key, value in found.items()}
    assert composed["train/red/é.jpg"] == "blue"
    assert composed["val/red/é.jpg"] == "red"
    assert composed["val/blue/001.jpg"] == "red"
    listed = tmp_path / "listed.csv"
    lines = [f"images/{f.parent.name}/{f.name},{f.parent.name}" for f in images.rglob("*.jpg")]
    listed.write_text("\n".join(("path,label", *lines)), encoding="utf-8")
    table = _table(tmp_path, "images/green/001.jpg,blue,")
    found = _labels(open_source(str(listed), DataConfig(relabel=table)))
    assert found["images/green/001.jpg"] == "blue"


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (["red/000.jpg,gren,"], r"Line 2 .* the class 'gren'.*such as green"),
        (["red/00.jpg,green,"], r"Line 2 .* the image 'red/00.jpg'.*such as red/00\d.jpg"),
        (["red/000.jpg,green,", "red/000.jpg,blue,"], r"Lines 2 and 3 .* two labels"),
        (["red/000.jpg"], "Line 2"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    rows: list[str], reason: str, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=reason) as raised:
        open_source(str(data), DataConfig(relabel=_table(tmp_path, *rows)))
    assert "\n" not in str(raised.value)


def test_a_missing_table_is_refused_in_training_and_named_in_evaluation(
    data: Path, tmp_path: Path
) -> None:
    config = DataConfig(relabel=str(tmp_path / "absent.csv"))
    with pytest.raises(DataError, match=r"Cannot read the table.*absent.csv"):
        open_source(str(data), config)
    found = open_evaluation_set(str(data), config, classification(CLASSES))
    assert len(found.splits["all"]) == 18
    assert any("absent.csv" in finding.reason for finding in found.skipped)


def test_other_images_than_those_of_the_table_are_evaluated(data: Path, tmp_path: Path) -> None:
    """A run's recipe names its table, also where it is measured on new images."""
    table = _table(tmp_path, "red/000.jpg,green,", "elsewhere/9.jpg,violet,")
    found = open_evaluation_set(str(data), DataConfig(relabel=table), classification(CLASSES))
    part = found.splits["all"]
    assert CLASSES[part.labels[part.names.index("red/000.jpg")]] == "green"


def test_classes_that_lose_all_images_are_named(data: Path, tmp_path: Path) -> None:
    rows = [f"red/{number:03d}.jpg,blue," for number in range(6)]
    with pytest.raises(DataError, match="red"):
        open_source(str(data), DataConfig(relabel=_table(tmp_path, *rows)))


def test_images_without_classes_have_no_labels_to_correct(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "sorted", 3) / "red"
    source = open_source(str(folder), DataConfig(relabel="absent.csv"), labeled=False)
    assert sum(map(len, source.splits.values())) == 3
