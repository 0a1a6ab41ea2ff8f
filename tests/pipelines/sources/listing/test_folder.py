"""Folders of class folders: splits, links, ignored files and names that are not Unicode."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from pipelines.inspection.audit import audit
from pipelines.sources.config import DataConfig
from pipelines.sources.listing.folder import read_folder
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.opening.describe import describe
from tests.support.photographs import Fill
from zoo.errors import (
    DataError,
)


def sizes(data: str | Path, config: DataConfig | None = None, seed: int = 0) -> dict[str, int]:
    source = open_source(str(data), config, seed=seed)
    return {name: len(examples) for name, examples in source.splits.items()}


def test_class_folders_are_split(fill: Fill) -> None:
    fill("bees", 10)
    source = open_source(str(fill("ants", 10)))
    assert source.class_names == ("ants", "bees")
    assert np.bincount(source.val.labels).tolist() == [2, 2]
    assert source.test is None


@pytest.mark.parametrize(
    ("train", "val"),
    [("train", "val"), ("Train", "valid"), ("training", "validation"), ("training_set", "dev")],
)
def test_split_folders_are_kept(fill: Fill, train: str, val: str) -> None:
    for name in ("ants", "bees"):
        fill(f"{train}/{name}", 3)
        fill(f"{val}/{name}", 1)
    assert sizes(fill(f"test/{name}", 2)) == {"train": 6, "val": 2, "test": 2}


def test_train_without_val_is_split(fill: Fill) -> None:
    fill("train/ants", 10)
    fill("train/bees", 10)
    assert sizes(fill("test/bees", 2)) == {"train": 16, "val": 4, "test": 2}


@pytest.mark.parametrize("test", ["Testing", "test_set", "eval", "hold-out"])
def test_split_folders_by_other_names(fill: Fill, test: str) -> None:
    for name in ("ants", "bees"):
        fill(f"Training/{name}", 5)
    assert sizes(fill(f"{test}/bees", 2)) == {"train": 8, "val": 2, "test": 2}


def test_folder_that_looks_like_a_split_is_said(fill: Fill) -> None:
    for name in ("ants", "bees"):
        fill(f"seg_train/{name}", 3)
        root = fill(f"seg_test/{name}", 2)
    said = describe(open_source(str(root)))
    assert said == [
        "the class folder seg_test/ looks like a split; if it is one, call it test/",
        "the class folder seg_train/ looks like a split; if it is one, call it train/",
    ]
    for split in ("train", "test"):
        (root / f"seg_{split}").rename(root / split)
    assert sizes(root) == {"train": 4, "val": 2, "test": 4}
    assert describe(open_source(str(root))) == []


def test_val_without_class_folders_is_refused(fill: Fill) -> None:
    fill("train/ants", 3)
    fill("train/bees", 3)
    with pytest.raises(DataError, match=r"val/ of .* has no class folders; .*move it away"):
        open_source(str(fill("val", 2)))


def test_deepest_folders_are_the_classes_if_asked_for(fill: Fill) -> None:
    for split in ("train", "val"):
        for folder in ("a/ants", "b/bees", "b/deeper/beetles", "c/x/ants"):
            root = fill(f"{split}/{folder}", 2)
    plain = open_source(str(root))
    assert plain.class_names == ("a", "b", "c")
    assert describe(plain) == [
        "every class folder holds folders alone; if these are the classes, --set data.leaves=true"
    ]
    fill("train/b/deeper", 1)
    (root / "train" / "c" / "x" / "up").symlink_to(root / "train" / "c", target_is_directory=True)
    leaves = open_source(str(root), DataConfig(leaves=True))
    assert leaves.class_names == ("ants", "bees", "beetles")
    assert leaves.train.names[0] == "train/a/ants/0000.jpg"
    assert np.bincount(leaves.val.labels).tolist() == [4, 2, 2]
    assert describe(leaves)[1:] == [
        f"class 'ants' joins {split}/a/ants/, {split}/c/x/ants/" for split in ("train", "val")
    ]


def test_class_folders_are_compared_in_composed_form(fill: Fill) -> None:
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    for folder in (f"train/{composed}", "train/thé", f"val/{decomposed}", "val/thé"):
        root = fill(folder, 3)
    source = open_source(str(root))
    assert source.class_names == (composed, "thé")
    assert np.bincount(source.val.labels).tolist() == [3, 3]
    assert describe(source) == []
    source = open_source(str(fill(f"train/{decomposed}", 2)))
    assert np.bincount(source.train.labels).tolist() == [5, 3]
    assert describe(source) == [f"class 'café' joins train/{decomposed}/, train/{composed}/"]


def test_class_may_have_the_name_of_a_split(fill: Fill) -> None:
    fill("train", 4)
    source = open_source(str(fill("tram", 4)))
    assert source.class_names == ("train", "tram")


def test_class_folder_is_read_recursively(fill: Fill) -> None:
    fill("ants/2019/may", 3)
    source = open_source(str(fill("bees", 3)))
    assert source.train.names[0].startswith("ants/2019/may/")


def test_hidden_files_are_ignored(fill: Fill) -> None:
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


def test_broken_link_is_skipped(fill: Fill) -> None:
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


def test_val_without_train_is_refused(fill: Fill) -> None:
    with pytest.raises(DataError, match=r"has no train/; .*received val/"):
        open_source(str(fill("val/ants", 2)))


def test_two_folders_for_one_split_are_refused(fill: Fill) -> None:
    for folder in ("train/a", "dev/a", "valid/a"):
        root = fill(folder, 1)
    with pytest.raises(DataError, match="name the val split; expected one of dev/ and valid/"):
        open_source(str(root))


def test_plain_name_of_a_split_comes_first(fill: Fill) -> None:
    for folder in ("train/a", "train/b", "val/a", "val/b", "valid/a"):
        root = fill(folder, 2)
    source = open_source(str(root))
    assert {name.split("/")[0] for name in source.val.names} == {"val"}
    assert "valid/: not read" in describe(source)[0]


def test_unreadable_folder_is_named(fill: Fill) -> None:
    root = fill("ants", 1)
    with pytest.raises(DataError, match=r"Cannot read the folder .*0000\.jpg': Not a directory"):
        read_folder(str(root / "ants" / "0000.jpg"))


@pytest.mark.parametrize("classes", ["", "train/", "val/"])
def test_unreadable_folder_below_a_class_is_named_and_not_skipped(
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


def test_class_name_that_is_not_unicode_is_refused(fill: Fill) -> None:
    root = fill("ants", 3)
    os.mkdir(os.fsencode(root) + b"/caf\xe9")
    message = r"class folder 'caf\\\\xe9' is not valid UTF-8; .*; rename it$"
    for job in (open_source, audit):
        with pytest.raises(DataError, match=message):
            job(str(root))


def test_image_name_that_is_not_unicode_is_escaped(fill: Fill) -> None:
    fill("bees", 3)
    root = fill("ants", 3)
    first = root / "ants" / "0003.jpg"
    first.rename(os.fsdecode(os.fsencode(root / "ants") + b"/\xe9.jpg"))
    source = open_source(str(root))
    names = {name for part in source.splits.values() for name in part.names}
    assert r"ants/\xe9.jpg" in names
    assert not source.skipped
