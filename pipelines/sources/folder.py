"""Read a folder of class folders, perhaps below train/, val/ and test/, or an unsorted folder."""

from __future__ import annotations

import os
from pathlib import Path

from pipelines.sources.columns import ByteStrings, Files, Texts
from pipelines.sources.source import Examples, Finding, Listing
from pipelines.sources.split_names import split_of
from pipelines.sources.walk import files_below, is_ignored, unreadable
from zoo.errors import DataError

IMAGE_EXTENSIONS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".webp": "WebP",
}
"""Format by the lower-case file name extension that promises it."""


def read_folder(data: str) -> Listing:
    """Lists a folder of class folders.

    Classes are sorted by name. A class folder is read recursively. Every file in it
    counts as an image, whatever its extension; the scan finds those that are none.
    Files that file managers leave behind (`.DS_Store` and other names with a leading
    dot, `Thumbs.db`, `desktop.ini`, `__MACOSX`) are ignored. Links are followed.

    Args:
        data: Path of the folder.

    Returns:
        Those of the splits `train`, `val` and `test` that exist, or `all`.

    Raises:
        DataError: The folder or one below it cannot be read, the name of a class
            folder is not valid Unicode, or `train/` is missing beside `val/`.
    """
    import numpy as np

    root = Path(data)
    folders, files = _list(root)
    splits = _split_folders(data, folders)
    if splits is None:
        splits, unused = {"all": root}, []
    else:
        unused = [folder for folder in folders if folder not in splits.values()]

    classes: dict[str, dict[str, Path]] = {}
    ignored = [
        Finding(f"{_name(root, folder)}/", "not read, since it lies beside the split folders")
        for folder in unused
    ]
    if splits.get("all") != root:
        ignored += _loose_images(root, files)
    for split, folder in splits.items():
        class_folders, files = _list(folder)
        ignored += _loose_images(root, files)
        for class_folder in class_folders:
            _check_encoding(root, class_folder)
        classes[split] = {f.name: f for f in class_folders}
    class_names = tuple(sorted({name for found in classes.values() for name in found}))

    empty: list[str] = []
    listed: dict[str, Examples] = {}
    for split, found in classes.items():
        parts: list[ByteStrings] = []
        labels: list[int] = []
        for label, class_name in enumerate(class_names):
            if class_name not in found:
                continue
            below = found[class_name].relative_to(root).as_posix()
            images = files_below(found[class_name], f"{below}/")
            parts.append(ByteStrings.of(map(os.fsencode, images)))
            labels.append(label)
            if not len(parts[-1]):
                empty.append(_name(root, found[class_name]))
        if any(map(len, parts)):
            paths = ByteStrings.join(parts)
            listed[split] = Examples(
                names=Texts(paths),
                labels=np.repeat(np.array(labels, np.int64), [len(part) for part in parts]),
                files=Files(str(root), paths),
            )
    return Listing(class_names, listed, empty=tuple(empty), ignored=tuple(ignored))


def read_unlabeled_folder(data: str) -> Listing:
    """Lists the unlabeled images in a folder and all folders below it.

    Args:
        data: Path of the folder.

    Returns:
        All files with an extension of IMAGE_EXTENSIONS, as one class in the split
        `all`; no split if there are none.

    Raises:
        DataError: The folder or one below it cannot be read.
    """
    import numpy as np

    paths = ByteStrings.of(map(os.fsencode, filter(_is_image, files_below(data))))
    if not len(paths):
        return Listing((), {})
    examples = Examples(
        names=Texts(paths), labels=np.zeros(len(paths), np.int64), files=Files(data, paths)
    )
    return Listing(("images",), {"all": examples})


def _split_folders(data: str, folders: list[Path]) -> dict[str, Path] | None:
    """Returns the split folders by split, or None if the folders are classes.

    A class can be called `train` (beside `bus` and `tram`), so folders with the names
    of splits are splits only if one of them holds a folder.
    """
    candidates = [f for f in folders if split_of(f.name)]
    nested = [f for f in candidates if _list(f)[0]]
    has_train = any(split_of(f.name) == "train" for f in nested)
    if not nested or (len(nested) < len(folders) and not has_train):
        return None
    # All candidates: a test/ of unlabeled images without class folders is no class either.
    splits: dict[str, Path] = {}
    for folder in candidates:
        split = split_of(folder.name)
        if split in splits:
            raise DataError(
                f"Two folders of {data!r} name the {split} split",
                expected=f"one of {splits[split].name}/ and {folder.name}/",
                mend="join them or move one away",
            )
        splits[split] = folder
    if "train" not in splits:
        raise DataError(
            f"The folder {data!r} has no train/",
            expected="train/ beside val/ or test/, or class folders alone",
            received=", ".join(f"{folder.name}/" for folder in candidates),
            mend="add train/, or point at one of these folders",
        )
    return {split: splits[split] for split in ("train", "val", "test") if split in splits}


def _list(folder: Path) -> tuple[list[Path], list[Path]]:
    """Returns the folders and the files in a folder, each sorted by name."""
    try:
        found = sorted(path for path in folder.iterdir() if not is_ignored(path.name))
        return [p for p in found if p.is_dir()], [p for p in found if not p.is_dir()]
    except OSError as error:
        raise unreadable(folder, error) from None


def _check_encoding(root: Path, folder: Path) -> None:
    """Raises DataError for a class name that TOML, JSON and model files cannot hold."""
    try:
        folder.name.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"The name of the class folder {_name(root, folder)!r} is not valid UTF-8",
            expected="a name in UTF-8",
            mend="rename it",
        ) from None


def _name(root: Path, path: Path) -> str:
    r"""Returns a path relative to `root`, with bytes that are not UTF-8 escaped as in \xe9."""
    name = path.relative_to(root).as_posix()
    return os.fsencode(name).decode(errors="backslashreplace")


def list_images(folder: Path) -> list[Path]:
    """Lists the images in a folder and all folders below it, by their extensions, sorted.

    Args:
        folder: The folder. Links are followed; hidden files and folders and those that file
            managers leave behind are ignored.

    Raises:
        DataError: The folder or one below it cannot be read.
    """
    return [folder / name for name in files_below(folder) if _is_image(name)]


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_EXTENSIONS


def _loose_images(root: Path, files: list[Path]) -> list[Finding]:
    """Returns a finding for each image outside the class folders; other files are ignored."""
    return [
        Finding(_name(root, path), "lies outside the class folders")
        for path in files
        if path.suffix.lower() in IMAGE_EXTENSIONS
    ]
