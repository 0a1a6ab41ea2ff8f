"""From DATA to a Source: which kind it is, what is read, what is refused and left out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.inspection.audit import audit
from pipelines.sources.catalogue import SOURCES, SourceKind, kind_of, preset_of
from pipelines.sources.config import DataConfig
from pipelines.sources.dataset import open_source
from pipelines.sources.describe import describe
from pipelines.sources.folder import read_folder
from tests.support.photographs import Fill
from zoo.errors import (
    DataError,
    EmptyClassError,
    NoImagesError,
    SingleClassError,
    UnseenClassError,
)


@pytest.fixture
def fill(tmp_path: Path) -> Fill:
    return Fill(tmp_path / "set")


def sizes(data: str | Path, config: DataConfig | None = None, seed: int = 0) -> dict[str, int]:
    source = open_source(str(data), config, seed=seed)
    return {name: len(examples) for name, examples in source.splits.items()}


# Which kind


def test_sources_import_neither_tensorflow_nor_tfds() -> None:
    code = (
        "import sys, pipelines.sources, pipelines.inspection.audit;"
        "print([m for m in ('tensorflow', 'tensorflow_datasets', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_embedded_name_wins_over_a_folder_of_that_name(
    fill: Fill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill("ants", 2).rename(tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    assert kind_of("digits").name == "digits"
    assert kind_of("./digits").name == "folder"


@pytest.mark.parametrize(
    ("data", "preset"),
    [
        ("textures", "textures"),
        ("tfds:textures", "textures"),
        ("digits", "digits"),
        ("tfds:mnist", "photo"),
        ("nowhere/", "photo"),
    ],
)
def test_preset_of_reads_nothing(data: str, preset: str) -> None:
    assert preset_of(data) == preset


@pytest.mark.parametrize("kind", SOURCES.values(), ids=SOURCES)
def test_every_kind_says_what_it_is(kind: SourceKind) -> None:
    assert kind.summary
    assert not kind.matches("no/such/thing")


def test_unknown_data_names_the_nearest_embedded_set() -> None:
    with pytest.raises(DataError, match=r"no data set 'texturs'.*did you mean 'textures'\?$"):
        open_source("texturs")
    with pytest.raises(DataError, match=r"no data set 'no/such'; expected a folder, a \.csv"):
        open_source("no/such")


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match="unpack it first"):
        open_source(str(tmp_path / "a.zip"))


# Folders


def test_class_folders_are_split(fill: Fill) -> None:
    fill("bees", 10)
    source = open_source(str(fill("ants", 10)))
    assert source.class_names == ("ants", "bees")
    assert np.bincount(source.val.labels).tolist() == [2, 2]
    assert source.test is None


@pytest.mark.parametrize(
    ("train", "val"), [("train", "val"), ("Train", "valid"), ("training", "validation")]
)
def test_official_splits_are_kept(fill: Fill, train: str, val: str) -> None:
    for name in ("ants", "bees"):
        fill(f"{train}/{name}", 3)
        fill(f"{val}/{name}", 1)
    assert sizes(fill(f"test/{name}", 2)) == {"train": 6, "val": 2, "test": 2}


def test_train_alone_gives_up_a_part_for_val(fill: Fill) -> None:
    fill("train/ants", 10)
    fill("train/bees", 10)
    assert sizes(fill("test/bees", 2)) == {"train": 16, "val": 4, "test": 2}


def test_classes_may_be_called_as_splits_are(fill: Fill) -> None:
    fill("train", 4)
    source = open_source(str(fill("tram", 4)))
    assert source.class_names == ("train", "tram")


def test_images_in_folders_below_a_class_belong_to_it(fill: Fill) -> None:
    fill("ants/2019/may", 3)
    source = open_source(str(fill("bees", 3)))
    assert source.train.names[0].startswith("ants/2019/may/")


def test_hidden_files_are_passed_over(fill: Fill) -> None:
    for name in ("ants", "bees"):
        fill(name, 3)
        for litter in (".DS_Store", "Thumbs.db", "desktop.ini", "._0001.jpg"):
            (fill(name) / name / litter).write_bytes(b"litter")
    fill("__MACOSX", 0, a__jpg=b"litter")
    source = open_source(str(fill(".git", 1)))
    assert source.class_names == ("ants", "bees")
    assert not source.skipped


def test_links_are_followed_and_circles_end(fill: Fill, tmp_path: Path) -> None:
    root = fill("ants", 3)
    fill("bees", 3)
    (root / "ants" / "up").symlink_to(root / "ants", target_is_directory=True)
    (root / "wasps").symlink_to(root / "bees", target_is_directory=True)
    source = open_source(str(root))
    assert source.class_names == ("ants", "bees", "wasps")
    assert sum(len(part) for part in source.splits.values()) == 9


def test_link_to_nothing_is_skipped(fill: Fill) -> None:
    root = fill("ants", 20)
    fill("bees", 20)
    (root / "ants" / "gone.jpg").symlink_to(root / "nowhere.jpg")
    assert describe(open_source(str(root))) == ["skipped ants/gone.jpg: a broken link"]


def test_loose_images_are_reported_and_other_loose_files_are_not(fill: Fill) -> None:
    fill("ants", 3)
    fill("bees", 3)
    source = open_source(str(fill(".", 0, stray__jpg=b"", README__md=b"")))
    assert describe(source) == ["skipped stray.jpg: lies outside the class folders"]


def test_folder_beside_the_splits_is_reported(fill: Fill) -> None:
    fill("train/ants", 3)
    fill("train/bees", 3)
    source = open_source(str(fill("drafts", 1)))
    assert describe(source) == ["skipped drafts/: not read, since it lies beside the split folders"]


def test_empty_class_folder(fill: Fill) -> None:
    fill("ants", 3)
    fill("bees", 3)
    with pytest.raises(EmptyClassError, match=r"received wasps/; add images"):
        open_source(str(fill("wasps")))


def test_class_without_a_decodable_image(fill: Fill) -> None:
    fill("ants", 30)
    root = fill("bees", 0, a__jpg=b"")
    with pytest.raises(EmptyClassError, match=r"'bees'.* has no image that can be decoded"):
        open_source(str(root))


def test_one_class(fill: Fill) -> None:
    with pytest.raises(SingleClassError, match="at least two classes; received ants; add"):
        open_source(str(fill("ants", 3)))


def test_one_folder_too_high(fill: Fill) -> None:
    fill("images/ants", 3)
    with pytest.raises(SingleClassError, match="point at the folder 'images'"):
        open_source(str(fill("images/bees", 3)))


def test_class_that_training_never_sees(fill: Fill) -> None:
    for folder in ("train/ants", "train/bees", "val/ants", "val/wasps"):
        root = fill(folder, 2)
    with pytest.raises(UnseenClassError, match=r"'wasps' .* has images in val and none in train"):
        open_source(str(root))


def test_no_images_at_all(fill: Fill) -> None:
    with pytest.raises(NoImagesError, match=r"no labeled image .*expected one folder per class"):
        open_source(str(fill(".")))


def test_images_without_class_folders(fill: Fill) -> None:
    with pytest.raises(NoImagesError, match=r"3 images outside class folders, .*; make"):
        open_source(str(fill(".", 3)))


def test_val_without_train(fill: Fill) -> None:
    with pytest.raises(DataError, match=r"has no train/; .*received val/"):
        open_source(str(fill("val/ants", 2)))


def test_two_folders_for_one_split(fill: Fill) -> None:
    for folder in ("train/a", "val/a", "valid/a"):
        root = fill(folder, 1)
    with pytest.raises(DataError, match="name the val split; expected one of val/ and valid/"):
        open_source(str(root))


def test_unreadable_folder_is_named(fill: Fill) -> None:
    root = fill("ants", 1)
    with pytest.raises(DataError, match=r"Cannot read the folder .*0000\.jpg': Not a directory"):
        read_folder(str(root / "ants" / "0000.jpg"))


@pytest.mark.parametrize("classes", ["", "train/", "val/"])
def test_unreadable_folder_below_a_class_is_named_and_not_passed_over(
    fill: Fill, monkeypatch: pytest.MonkeyPatch, classes: str
) -> None:
    # Root may read everything; a path beyond the system's limit not even root may.
    for name in ("ants", "bees"):
        fill(f"train/{name}" if classes else name, 2)
    root = fill(f"{classes}ants", 1)
    monkeypatch.chdir(root / classes / "ants")
    for _ in range(20):
        Path("d" * 250).mkdir()
        monkeypatch.chdir("d" * 250)
    with pytest.raises(DataError, match=rf"^Cannot read the folder .*/{classes}ants/d+.*…d.*"):
        open_source(str(root))


def test_class_whose_name_is_not_unicode(fill: Fill) -> None:
    root = fill("ants", 3)
    os.mkdir(os.fsencode(root) + b"/caf\xe9")
    message = r"class folder 'caf\\\\xe9' is not valid UTF-8; .*; rename it$"
    for job in (open_source, audit):
        with pytest.raises(DataError, match=message):
            job(str(root))


def test_image_whose_name_is_not_unicode_is_used(fill: Fill) -> None:
    fill("bees", 3)
    root = fill("ants", 3)
    first = root / "ants" / "0003.jpg"
    first.rename(os.fsdecode(os.fsencode(root / "ants") + b"/\xe9.jpg"))
    source = open_source(str(root))
    names = {name for part in source.splits.values() for name in part.names}
    assert r"ants/\xe9.jpg" in names
    assert not source.skipped


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\x85b", " ants", "ants ", "\t"])
def test_class_whose_name_fits_no_line(fill: Fill, name: str) -> None:
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


# Excluding


@pytest.mark.parametrize("pattern", ["ants/0000.jpg", "*0.jpg", "ants/000[0]*"])
def test_exclude_by_name_and_pattern(fill: Fill, pattern: str) -> None:
    fill("ants", 5)
    source = open_source(str(fill("bees", 5)), DataConfig(exclude=(pattern,)))
    names = [name for part in source.splits.values() for name in part.names]
    assert len(names) == 9
    assert "ants/0000.jpg" not in names


def test_exclude_takes_a_name_with_brackets_as_it_is(fill: Fill) -> None:
    root = fill("ants", 3)
    fill("bees", 3)
    (root / "ants" / "a[1].jpg").write_bytes(b"")
    assert not open_source(str(root), DataConfig(exclude=("ants/a[1].jpg",))).skipped


def test_exclude_of_a_whole_class_drops_it(fill: Fill) -> None:
    for name in ("ants", "bees", "wasps"):
        root = fill(name, 4)
    source = open_source(str(root), DataConfig(exclude=("bees",)))
    assert source.class_names == ("ants", "wasps")
    assert set(source.train.labels.tolist()) == {0, 1}
    with pytest.raises(NoImagesError, match="no labeled image"):
        open_source(str(root), DataConfig(exclude=("*",)))


# Embedded digits


def test_digits_are_scikit_learns_scans() -> None:
    import tensorflow as tf
    from sklearn.datasets import load_digits

    source = open_source("digits")
    assert {name: len(part) for name, part in source.splits.items()} == {"train": 1438, "val": 359}
    assert not source.outliers
    scan = tf.io.decode_png(source.train.read(0)).numpy()[..., 0].astype(float)
    index = int(source.train.names[0].rpartition("/")[2])
    np.testing.assert_allclose(scan * 16 / 255, load_digits().images[index], atol=0.05)


def test_test_fraction_makes_a_test_split(fill: Fill) -> None:
    fill("ants", 10)
    config = DataConfig(val_fraction=0.2, test_fraction=0.3)
    assert sizes(fill("bees", 10), config) == {"train": 10, "val": 4, "test": 6}


@pytest.mark.parametrize(
    "wrong",
    [{"val_fraction": 0}, {"val_fraction": 1}, {"max_undecodable": 1.1}, {"exclud": ()},
     {"val_fraction": 0.6, "test_fraction": 0.4}],
)  # fmt: skip
def test_data_config_refuses_what_makes_no_sense(wrong: dict) -> None:
    with pytest.raises(ValidationError, match="DataConfig"):
        DataConfig(**wrong)
