"""CSV files that name images and labels, as people write them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Literal
from unicodedata import normalize

import pytest
from pydantic import ValidationError

from pipelines.sources.config import ColumnNames, DataConfig
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.opening.describe import describe
from pipelines.sources.source import join_examples
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


BAD = [
    (
        "file,class\n0.jpg,a\n",
        r"no column 'path' and none 'label'; expected path, label .*received file, class; .*--set "
        r"'data\.columns=\{path = \"file\", label = \"class\"\}'$",
    ),
    ("a|b\n0.jpg|a\n", r"with commas, .* between them; received a\|b; name them: --set data\.c"),
    ("0.jpg,a\n1.jpg,b\n", r"received 0\.jpg, a; put a line with the names .* before the first$"),
    ("path,label,x;path;label\n", "separated by commas or by semicolons; expected one of them"),
    ("", r"The table .* is empty; expected the names of the columns, as path,label; name the"),
    ("\n0.jpg,a\n", r"Line 1 of .* is empty"),
    ("path,label\n", "first line with the names of columns and nothing below"),
    ("path,label\n\n,\n", "nothing below"),
    ("path,label\n0.jpg,\n", r"Line 2 of .* has no label"),
    ("path,label\n0.jpg,a\n,a\n", r"Line 3 of .* has no path"),
    (
        "path,label\n0.jpg,a, b\n",
        r"Line 2 .* 3 cells, more than .*; received 0.jpg \| a \| b; .*quo",
    ),
    ("path,label,c\n0.jpg,a\n", r"Line 2 .* 2 cells, fewer than .*; expected 3: path, label, c;"),
    ('path,label\n0.jpg,a\n1.jpg,"b\n2.jpg,a\n', r"Line 3 of .* opens a quote that does not close"),
    ('path,label\n0.jpg,"a" b\n1.jpg,b\n', r"Line 2 of .* quote that .*; received '?.*expected"),
    (
        'path,label\n"0.jpg,a\n1.jpg",b\n',
        r"path on line 2 of .* has a line break; .*close the quote",
    ),
    ("path,label,Label\n0.jpg,a,b\n", r"names the column 'label' twice; .*received label, Label"),
    ("path,label,PATH\n0.jpg,a,1.jpg\n", r"names the column 'path' twice"),
    ("path,label,label\n0.jpg,a,b\n", r"names the column 'label' twice; .*rename or remove"),
    ("path,label,split\n0.jpg,a,fold3\n", r"unknown split; .*received 'fold3'; rename it; or, if"),
    ("path,label,split\n0.jpg,a,\n", r"Line 2 of .* has no split"),
    ("path,label,split\n0.jpg,a,val\n1.jpg,b,val\n", r"No line of .* belongs to the train"),
    (f"path,label\n{ROWS}0.jpg,b\n", r"Lines 2 and 10 .* disagree about 0.jpg; .*a and b"),
    (f"path,label\n{ROWS}9.jpg,b\nx/y.jpg,a\n", r"2 of 10 .* missing; received 9.jpg, x/y.jpg"),
    ("path,label\n0.jpg,a\n1.jpg,a\n", "one class in"),
    (f"path,label\n{ROWS}9\0.jpg,b\n", r"Line 10 of .* has a NUL character; .*'CSV UTF-8'"),
    (f"path,label\n{ROWS}0.jpg/9.jpg,b\n", r"1 of 9 .* missing; received 0\.jpg/9\.jpg;"),
    (
        f"path,label\n{ROWS}{'x' * 300}.jpg,b\n",
        r"1 of 9 .* missing; received x{40}…x{35}\.jpg;",
    ),
    (f'path,label\n{ROWS}9.jpg,"a\nb"\n', r"The name of class 'a\\nb' .*labels\.txt"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_invalid_csv_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        open_source(table(tmp_path, text))
    assert "\n" not in str(caught.value)


TABLES = {
    "blanks after commas": 'path, label\n0.jpg, "a, b"\n1.jpg,  c\n2.jpg, "a, b"\n3.jpg, c\n',
    "tabs": "path\tlabel\n0.jpg\ta, b\n1.jpg\tc\n2.jpg\ta, b\n3.jpg\tc\n",
    "semicolons": "path;label\r\n0.jpg;a, b\r\n1.jpg;c\r\n2.jpg;a, b\r\n3.jpg;c\r\n",
    "an index without a name": (
        ',path,label\n0,0.jpg,"a, b"\n1,1.jpg,c\n2,2.jpg,"a, b"\n3,3.jpg,c\n'
    ),
    "empty cells at the ends": (
        'path,label,,\n0.jpg,"a, b",,,\n1.jpg,c,,\n2.jpg,"a, b",,\n3.jpg,c,,\n'
    ),
    "columns twice that are not used": "id,ID,label,path\n"
    + "".join(f"1,2,{label},{n}.jpg\n" for n, label in enumerate(('"a, b"', "c") * 2)),
    "a note of two lines": (
        'path,label,note\n0.jpg,"a, b","x\ny"\n1.jpg,c,\n2.jpg,"a, b",\n3.jpg,c,\n'
    ),
}


@pytest.mark.parametrize("text", TABLES.values(), ids=TABLES)
def test_table_as_people_write_it_is_read(tmp_path: Path, text: str) -> None:
    source = open_source(table(tmp_path, text))
    examples = join_examples([source.train, source.val])
    found = {n: source.class_names[i] for n, i in zip(examples.names, examples.labels, strict=True)}
    assert found == {"0.jpg": "a, b", "1.jpg": "c", "2.jpg": "a, b", "3.jpg": "c"}


def test_tsv_file_is_a_data_set(tmp_path: Path) -> None:
    data = Path(table(tmp_path, "path\tlabel\n" + ROWS.replace(",", "\t")))
    assert open_source(str(data.rename(tmp_path / "t.TSV"))).class_names == ("a", "b")


@pytest.mark.parametrize(
    "names", [{"path": "File", "label": "class"}, {"label": "path", "path": "f"}]
)
def test_columns_by_other_names(tmp_path: Path, names: dict[str, str]) -> None:
    text = ",".join(names[column].lower() for column in ("path", "label")) + "\n" + ROWS
    config = DataConfig(columns=ColumnNames(**names))
    assert open_source(table(tmp_path, text), config).class_names == ("a", "b")


def test_split_column_by_another_name_or_unread(tmp_path: Path) -> None:
    rows = "".join(f"{n}.jpg,{'ab'[n % 2]},{('train', 'dev')[n > 3]},f{n}\n" for n in range(8))
    data = table(tmp_path, "path,label,part,split\n" + rows)
    with pytest.raises(DataError, match=r"unknown split; .*--set 'data\.columns\.split=\"\"'"):
        open_source(data)
    assert len(open_source(data, DataConfig(columns=ColumnNames(split=""))).val) == 2
    assert len(open_source(data, DataConfig(columns=ColumnNames(split="part"))).val) == 4
    with pytest.raises(DataError, match="no column 'fold'; expected path, label, fold in the"):
        open_source(data, DataConfig(columns=ColumnNames(split="fold")))


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="names one column twice"):
        ColumnNames(path="a", label="A")


@pytest.mark.parametrize(
    ("folder", "suffix", "cell"),
    [
        ("", ".jpg", "{}"),
        ("images", "", "{}.jpg"),
        ("images", ".jpg", "{}"),
        ("a b", ".JPG", "x/{}"),
    ],
)
def test_missing_files_are_found_by_the_proposed_setting(
    tmp_path: Path, folder: str, suffix: str, cell: str
) -> None:
    rows = "".join(f"{cell.format(n)},{'ab'[n % 2]}\n" for n in range(8))
    data = table(tmp_path, "path,label\n" + rows)
    for n in range(8):
        file = tmp_path / folder / f"{cell.format(n)}{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{n}.jpg").rename(file)
    settings = {"data.folder": folder, "data.suffix": suffix}
    proposed = [f"--set {shlex.quote(f'{k}={v}')}" for k, v in settings.items() if v]
    with pytest.raises(DataError, match=f"8 of 8 .* missing; .*; {' '.join(proposed)}$"):
        open_source(data)
    source = open_source(data, DataConfig(folder=folder, suffix=suffix))
    assert {Path(n).stem for n in (*source.train.names, *source.val.names)} == set("01234567")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_files_are_found_in_either_unicode_form(
    tmp_path: Path, form: Literal["NFC", "NFD"]
) -> None:
    rows = ""
    for n in range(8):
        file = tmp_path / normalize(("NFC", "NFD")[n % 2], f"café {n % 4}/é{n}.jpg")
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(encode(photo(n, (12, 10))))
        label = normalize(("NFC", "NFD")[n // 4], ("bée", "fourmi")[n % 2])
        rows += normalize(form, f"café {n % 4}/é{n}.jpg") + f",{label}\n"
    source = open_source(table(tmp_path, "path,label\n" + rows))
    assert source.class_names == ("bée", "fourmi")
    assert len(source.train) == 6


def test_csv_in_another_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not in UTF-8; received byte 0xe9"):
        open_source(table(tmp_path, "path,label\n0.jpg,é\n", "latin-1"))


def test_missing_csv_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Cannot read the table .*: No such file"):
        open_source(str(tmp_path / "none.csv"))
    with pytest.raises(DataError, match=r"There is no table 'a\\x00\.csv'; .* a NUL"):
        open_source("a\0.csv")
