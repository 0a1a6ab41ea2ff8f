"""CSV files that name images and labels, as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.sources.dataset import open_source
from pipelines.sources.describe import describe
from tests.support.photographs import encode, photo
from zoo.errors import DataError


def table(folder: Path, text: str, encoding: str = "utf-8") -> str:
    for number in range(8):
        (folder / f"{number}.jpg").write_bytes(encode(photo(number, (12, 10))))
    (folder / "labels.csv").write_text(text, encoding=encoding)
    return str(folder / "labels.csv")


ROWS = "".join(f"{n}.jpg,{'ab'[n % 2]}\n" for n in range(8))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_csv_without_splits(tmp_path: Path, encoding: str) -> None:
    source = open_source(table(tmp_path, "Path, label\n" + ROWS, encoding))
    assert source.class_names == ("a", "b")
    assert {name: len(part) for name, part in source.splits.items()} == {"train": 6, "val": 2}


def test_csv_with_splits_and_other_columns(tmp_path: Path) -> None:
    rows = "split,who,path,label\ntrain,x,0.jpg,é\ntrain,y,./1.jpg,b\n\nvalid,z,2.jpg,b\n"
    source = open_source(table(tmp_path, rows))
    assert source.class_names == ("b", "é")
    assert source.train.names == ("0.jpg", "1.jpg")
    assert source.val.names == ("2.jpg",)


def test_csv_repeated_row_counts_once(tmp_path: Path) -> None:
    source = open_source(table(tmp_path, "path,label\n" + ROWS + "./3.jpg,b\n"))
    assert describe(source) == ["skipped 3.jpg: listed again on line 10"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,class\n0.jpg,a\n", r"lacks a column; expected path, label .*received file, class"),
        ("path;label\n0.jpg;a\n", r"with commas between them; received path;label"),
        ("", r"received an empty file"),
        ("path,label\n", "no labeled image"),
        ("path,label\n0.jpg,\n", r"Line 2 of .* has no label"),
        ("path,label\n0.jpg,a\n,a\n", r"Line 3 of .* has no path"),
        ("path,label,split\n0.jpg,a,holdout\n", r"unknown split; .*received 'holdout'"),
        ("path,label,split\n0.jpg,a,\n", r"Line 2 of .* has no split"),
        ("path,label,split\n0.jpg,a,val\n1.jpg,b,val\n", r"No line of .* belongs to the train"),
        (f"path,label\n{ROWS}0.jpg,b\n", r"Lines 2 and 10 .* disagree about 0.jpg; .*a and b"),
        (f"path,label\n{ROWS}9.jpg,b\nx/y.jpg,a\n", r"2 of 10 .* missing; received 9.jpg, x/y.jpg"),
        ("path,label\n0.jpg,a\n1.jpg,a\n", "one class in"),
        (f"path,label\n{ROWS}9\0.jpg,b\n", r"1 of 9 .* missing; received '9\\x00\.jpg'; correct"),
        (f"path,label\n{ROWS}0.jpg/9.jpg,b\n", r"1 of 9 .* missing; received 0\.jpg/9\.jpg;"),
        (
            f"path,label\n{ROWS}{'x' * 300}.jpg,b\n",
            r"1 of 9 .* missing; received x{40}…x{35}\.jpg;",
        ),
        (f'path,label\n{ROWS}9.jpg,"a\nb"\n', r"The name of class 'a\\nb' .*labels\.txt"),
    ],
)
def test_invalid_csv_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_source(table(tmp_path, text))


def test_csv_in_another_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not in UTF-8; received byte 0xe9"):
        open_source(table(tmp_path, "path,label\n0.jpg,é\n", "latin-1"))


def test_missing_csv_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Cannot read the table .*: No such file"):
        open_source(str(tmp_path / "none.csv"))
    with pytest.raises(DataError, match=r"There is no table 'a\\x00\.csv'; .* a NUL"):
        open_source("a\0.csv")
