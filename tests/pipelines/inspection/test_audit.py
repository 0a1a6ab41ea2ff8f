"""Audit of a data set that was made dirty on purpose."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from pipelines.inspection.audit import Audit, audit
from pipelines.sources.config import DataConfig
from pipelines.sources.opening.dataset import open_source
from tests.support.photographs import Fill, encode, photo
from zoo.errors import DataError, NoImagesError


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train and val of ants and bees, with one of every kind of dirt."""
    fill = Fill(tmp_path_factory.mktemp("dirty") / "set")

    def photos(start: int, count: int) -> dict[str, bytes]:
        numbers = range(start, start + count)
        return {f"{n}__jpg": encode(photo(n, (80 + n % 7, 70))) for n in numbers}

    fill("train/ants", **photos(0, 12), twin__jpg=encode(photo(3, (83, 70))))
    fill("train/bees", **photos(100, 12), liar__jpg=encode(photo(0, (80, 70))))
    fill("val/ants", **photos(200, 3), leak__jpg=encode(photo(4, (84, 70))))
    fill("val/bees", **photos(300, 3), cut__jpg=encode(photo(9))[:-99], notes__txt=b"notes")
    fill("train/bees", really_png__jpg=encode(photo(400, (90, 70)), "PNG"))
    fill("train/bees", small__jpg=encode(photo(401, (40, 20))))
    fill("train/ants", gone__gif=encode(Image.new("RGB", (90, 70), "white"), "GIF"))
    return fill(".", 0, stray__png=encode(photo(402), "PNG"))


@pytest.fixture(scope="module")
def found(dirty: Path) -> Audit:
    return audit(str(dirty))


def test_audit_counts_what_decodes(found: Audit) -> None:
    assert found.images == 36
    assert found.counts == {"ants": {"train": 14, "val": 4}, "bees": {"train": 15, "val": 3}}
    assert found.imbalance == pytest.approx(15 / 14, abs=1e-3)
    assert found.widths[0] == 40
    assert found.heights == (20, 70, 70)


def test_audit_finds_every_kind_of_dirt(found: Audit) -> None:
    def reasons(findings: tuple) -> dict[str, str]:
        return {finding.name: finding.reason for finding in findings}

    assert reasons(found.undecodable) == {
        "val/bees/cut.jpg": "cut off",
        "val/bees/notes.txt": "not an image (starts with 'notes')",
    }
    assert reasons(found.ignored) == {"stray.png": "lies outside the class folders"}
    assert reasons(found.wrong_extensions) == {"train/bees/really_png.jpg": "a PNG by its content"}
    assert list(reasons(found.outliers)) == ["train/ants/gone.gif"]
    assert reasons(found.tiny) == {"train/bees/small.jpg": "40x20 pixels"}


def test_audit_tells_copies_apart(found: Audit) -> None:
    assert found.repeated == (("train/ants/3.jpg", "train/ants/twin.jpg"),)
    assert found.conflicting == (("train/ants/0.jpg", "train/bees/liar.jpg"),)
    assert found.leaking == (("train/ants/4.jpg", "val/ants/leak.jpg"),)


def test_audit_reports_what_would_stop_training(dirty: Path, found: Audit) -> None:
    (blocking,) = found.blocking
    assert blocking.startswith("2 of 38 files")
    assert not audit(str(dirty), DataConfig(max_undecodable=0.1)).blocking


def test_audit_is_plain_json(found: Audit) -> None:
    value = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert value["undecodable"][0] == {"name": "val/bees/cut.jpg", "reason": "cut off"}
    assert value["clean"] is False


def test_audit_lines_report_every_finding(found: Audit) -> None:
    lines = found.lines()
    assert lines[0].endswith("36 images, 2 classes (29 train, 7 val)")
    for line in (
        "  bees: 15 train, 3 val",
        "undecodable val/bees/cut.jpg: cut off",
        "wrong extension train/bees/really_png.jpg: a PNG by its content",
        "in several classes: train/ants/0.jpg = train/bees/liar.jpg",
        "in several splits: train/ants/4.jpg = val/ants/leak.jpg",
        "repeated: train/ants/3.jpg = train/ants/twin.jpg",
        "tiny train/bees/small.jpg: 40x20 pixels",
    ):
        assert line in lines


def test_audit_changes_nothing(dirty: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in dirty.rglob("*")}
    audit(str(dirty))
    assert {path: path.stat().st_mtime_ns for path in dirty.rglob("*")} == before


def test_audit_reports_broken_classes_and_does_not_raise(tmp_path: Path) -> None:
    fill = Fill(tmp_path / "set")
    fill("ants", 3)
    found = audit(str(fill("bees")))
    assert "bees/" in found.blocking[0]
    found = audit(str(fill("bees", 0, a__jpg=b"", b__jpg=b"no")))
    assert [message.split(" ")[0] for message in found.blocking] == ["2", "Class"]


@pytest.mark.parametrize(
    ("bees", "config", "is_enough"),
    [
        (1, DataConfig(), False),
        (2, DataConfig(), True),
        (2, DataConfig(test_fraction=0.2), False),
        (3, DataConfig(test_fraction=0.2), True),
    ],
)
def test_audit_and_train_agree_on_a_class_too_small_to_split(
    tmp_path: Path, bees: int, config: DataConfig, is_enough: bool
) -> None:
    fill = Fill(tmp_path / "set")
    fill("ants", 5)
    data = str(fill("bees", bees))
    found = audit(data, config)
    if not is_enough:
        with pytest.raises(DataError, match="Class 'bees' has too few images to split") as caught:
            open_source(data, config)
        assert found.blocking == (str(caught.value),)
        assert not found.clean
    else:
        assert not found.blocking
        assert open_source(data, config)


def test_audit_splits_no_data_set_that_has_its_own_val(tmp_path: Path) -> None:
    fill = Fill(tmp_path / "set")
    for folder in ("train/ants", "train/bees", "val/ants", "val/bees"):
        data = str(fill(folder, 1))
    assert not audit(data).blocking
    assert open_source(data)


def test_audit_escapes_a_line_break_in_a_name(tmp_path: Path) -> None:
    fill = Fill(tmp_path / "set")
    fill("ants", 3)
    data = fill("bees", 3)
    (data / "bees" / "two\nlines.jpg").write_bytes(b"")
    assert r"undecodable bees/two\nlines.jpg: empty file" in audit(str(data)).lines()


def test_audit_reports_missing_files_of_a_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path,label\nx.jpg,a\ny.jpg,b\n")
    found = audit(str(tmp_path / "a.csv"))
    assert [finding.reason for finding in found.undecodable] == ["missing", "missing"]
    assert found.images == 0
    assert found.lines()


def test_audit_reports_imbalance(tmp_path: Path) -> None:
    fill = Fill(tmp_path / "set")
    fill("ants", 30)
    found = audit(str(fill("bees", 3)))
    assert found.imbalance == 10
    assert "imbalanced: read macro F1 beside accuracy" in found.lines()


def test_audit_of_a_clean_set_is_clean() -> None:
    found = audit("digits")
    assert found.clean
    assert found.lines()[-1] == "no problems found"


def test_audit_of_nothing_raises(tmp_path: Path) -> None:
    with pytest.raises(NoImagesError, match="no labeled image"):
        audit(str(tmp_path))
    with pytest.raises(DataError, match="no data set"):
        audit(str(tmp_path / "none"))
