"""Image files by file, folder and glob."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pipelines.serving.image_files import list_image_files
from zoo.errors import DataError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Images in a folder and below it, beside hidden files and other files."""
    folder = tmp_path / "photos"
    for name in (
        "b.JPG",
        "a.png",
        "new/2.webp",
        "new/10.bmp",
        "new/old/z.jpeg",
        "notes.txt",
        "no_extension",
        ".hidden.jpg",
        ".cache/c.jpg",
        "Thumbs.db",
        "__MACOSX/a.png",
        "new/@eaDir/2.webp",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def _names(files: list[Path], folder: Path) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in files]


EVERYTHING = ["a.png", "b.JPG", "new/10.bmp", "new/2.webp", "new/old/z.jpeg"]


def test_folder_lists_its_images_sorted_without_hidden_and_other_files(photos: Path) -> None:
    assert _names(list_image_files(photos), photos) == EVERYTHING
    assert _names(list_image_files([str(photos)]), photos) == EVERYTHING
    assert _names(list_image_files(f"{photos}/new/"), photos) == EVERYTHING[2:]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["a.png"]),
        ("*", EVERYTHING),
        ("new/*", ["new/10.bmp", "new/2.webp", "new/old/z.jpeg"]),
        ("**/*", EVERYTHING),
        ("**/[0-9]*", ["new/10.bmp", "new/2.webp"]),
        ("?.*", ["a.png", "b.JPG"]),
    ],
)
def test_glob_lists_each_matching_image_once(
    pattern: str, expected: list[str], photos: Path
) -> None:
    assert sorted(_names(list_image_files(f"{photos}/{pattern}"), photos)) == expected


def test_files_count_whatever_their_names_in_the_order_given(photos: Path) -> None:
    given = [photos / "no_extension", str(photos / ".hidden.jpg"), photos / "a.png"]
    assert list_image_files(given) == [Path(name) for name in given]
    assert list_image_files(photos / "notes.txt") == [photos / "notes.txt"]
    twice = list_image_files([photos / "a.png", photos])
    assert _names(twice, photos) == ["a.png", *EVERYTHING]


def test_name_with_brackets_is_a_file_where_there_is_one(photos: Path) -> None:
    (photos / "img[1].jpg").write_bytes(b"")
    (photos / "img1.jpg").write_bytes(b"")
    assert _names(list_image_files(photos / "img[1].jpg"), photos) == ["img[1].jpg"]
    assert _names(list_image_files(photos / "img[!2].jpg"), photos) == ["img1.jpg"]


def test_relative_names_stay_relative(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos.parent)
    assert list_image_files("photos")[0] == Path("photos/a.png")
    assert list_image_files("photos/*.png") == [Path("photos/a.png")]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing.jpg", r"nothing\.jpg does not exist; expected an image file, a folder or a glob"),
        ("x" * 300 + ".jpg", r"xxx\.jpg does not exist"),
        ("photos/*.tif", r"no image matches photos/\*\.tif; expected files ending in \.jpg, "),
        ("empty", r"there is no image in empty; expected files ending in \.jpg, "),
        ("pipe", r"pipe is neither a file nor a folder"),
        ([], r"there is no image to classify; expected one file or more"),
    ],
    ids=lambda value: re.sub(r"\W+", " ", str(value))[:12],
)
def test_name_without_images_is_refused(
    name: str | list[str], message: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos.parent)
    (photos.parent / "empty").mkdir()
    (photos.parent / "empty" / "notes.txt").write_bytes(b"")
    os.mkfifo(photos.parent / "pipe")
    with pytest.raises(DataError, match=message):
        list_image_files(name)


def test_folder_that_links_to_its_parent_is_listed_once(photos: Path) -> None:
    (photos / "new" / "up").symlink_to(photos)
    assert _names(list_image_files(photos), photos) == EVERYTHING
