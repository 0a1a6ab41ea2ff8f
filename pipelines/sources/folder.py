"""A folder of class folders, alone or under train/, val/ and test/; or one that nobody sorted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pipelines.sources.source import Examples, Listing, Remark
from zoo.errors import DataError

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
"""What a split may be called, in small letters, and what it is called here."""

IMAGE_ENDINGS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".webp": "WebP",
}
"""The format that a name's ending promises."""

_LITTER = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "icon\r"}


def read_folder(data: str) -> Listing:
    """Lists a folder whose class folders hold the images.

    The classes are in the order of their names. A class folder is read with all
    folders below it. Whatever its ending, every file in it is taken for an image;
    one that is none is found when it is decoded. What file managers leave behind
    (`.DS_Store` and all else that begins with a dot, `Thumbs.db`, `desktop.ini`,
    `__MACOSX`) is passed over. Links are followed.

    Args:
        data: The folder's path.

    Returns:
        The splits `train`, `val` and `test` that there are, or `all`.

    Raises:
        DataError: The folder or one in it cannot be read, a class folder's name is
            not valid Unicode, or `train/` is missing beside `val/`.
    """
    import numpy as np

    root = Path(data)
    folders, files = _visible(root)
    splits = _split_folders(data, folders)
    if splits is None:
        splits, beside = {"all": root}, []
    else:
        beside = [folder for folder in folders if folder not in splits.values()]

    classes: dict[str, dict[str, Path]] = {}
    outside = [
        Remark(f"{_name(root, folder)}/", "not read: it lies beside the split folders")
        for folder in beside
    ]
    if splits.get("all") != root:
        outside += _loose(root, files)
    for split, folder in splits.items():
        class_folders, loose = _visible(folder)
        outside += _loose(root, loose)
        for class_folder in class_folders:
            _check_encoding(root, class_folder)
        classes[split] = {f.name: f for f in class_folders}
    class_names = tuple(sorted({name for found in classes.values() for name in found}))

    empty: list[str] = []
    listed: dict[str, Examples] = {}
    for split, found in classes.items():
        paths: list[Path] = []
        labels: list[int] = []
        for label, class_name in enumerate(class_names):
            if class_name not in found:
                continue
            images = list(_files_below(found[class_name]))
            if not images:
                empty.append(_name(root, found[class_name]))
            paths += images
            labels += [label] * len(images)
        if paths:
            listed[split] = Examples(
                names=tuple(_name(root, path) for path in paths),
                labels=np.array(labels, dtype=np.int64),
                files=tuple(paths),
            )
    return Listing(class_names, listed, empty=tuple(empty), outside=tuple(outside))


def read_heap(data: str) -> Listing:
    """Lists a folder whose images lie in it, and in folders below it, unsorted.

    Args:
        data: The folder's path.

    Returns:
        All files whose endings are those of images, as one class in the split `all`;
        no split where there are none.

    Raises:
        DataError: The folder or one in it cannot be read.
    """
    import numpy as np

    root = Path(data)
    paths = [path for path in _files_below(root) if path.suffix.lower() in IMAGE_ENDINGS]
    if not paths:
        return Listing((), {})
    names = tuple(_name(root, path) for path in paths)
    labels = np.zeros(len(paths), np.int64)
    return Listing(("images",), {"all": Examples(names=names, labels=labels, files=tuple(paths))})


def _split_folders(data: str, folders: list[Path]) -> dict[str, Path] | None:
    """Returns the split folders by split, or None where the folders are the classes.

    A class may well be called `train` (beside `bus` and `tram`): the folders are
    splits only if there is a folder in one of them.
    """
    named = [f for f in folders if f.name.lower() in SPLIT_NAMES and _visible(f)[0]]
    if not named or (len(named) < len(folders) and not _has(named, "train")):
        return None
    # A test/ that is one heap of unlabeled images still is no class.
    candidates = [f for f in folders if f.name.lower() in SPLIT_NAMES]
    splits: dict[str, Path] = {}
    for folder in candidates:
        split = SPLIT_NAMES[folder.name.lower()]
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


def _has(folders: list[Path], split: str) -> bool:
    return any(SPLIT_NAMES[folder.name.lower()] == split for folder in folders)


def _visible(folder: Path) -> tuple[list[Path], list[Path]]:
    """Returns the folders and the files in a folder, by name, less the litter."""
    try:
        found = sorted(path for path in folder.iterdir() if not _is_litter(path.name))
        return [p for p in found if p.is_dir()], [p for p in found if not p.is_dir()]
    except OSError as error:
        raise _unreadable(folder, error) from None


def _unreadable(folder: Path, error: OSError) -> DataError:
    return DataError(
        f"Cannot read the folder {_shortened(folder)!r}: {error.strerror}",
        mend="check the path and who may read it",
    )


def _shortened(path: Path) -> str:
    # What is wrong with a path may be its length.
    text = os.fsencode(path).decode(errors="backslashreplace")
    return text if len(text) <= 300 else f"{text[:150]}…{text[-150:]}"


def _check_encoding(root: Path, folder: Path) -> None:
    """Refuses a class whose name no recipe, table of answers or model could hold."""
    try:
        folder.name.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"The name of the class folder {_name(root, folder)!r} is not valid UTF-8",
            expected="a name in UTF-8",
            mend="rename it",
        ) from None


def _name(root: Path, path: Path) -> str:
    r"""Returns what to call a file or folder; a byte that is not UTF-8 is written as \xe9."""
    name = path.relative_to(root).as_posix()
    return os.fsencode(name).decode(errors="backslashreplace")


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LITTER


def _files_below(folder: Path) -> Iterator[Path]:
    """Yields the files of a folder and of all below it, in a fixed order."""
    seen: set[str] = set()

    def refuse(error: OSError) -> None:
        # By default os.walk passes over what it cannot read, and images with it.
        raise _unreadable(Path(error.filename or folder), error) from None

    for parent, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(parent)
        # A link to a folder above it would go round for ever.
        folders[:] = [] if real in seen else sorted(f for f in folders if not _is_litter(f))
        if real not in seen:
            yield from (Path(parent, file) for file in sorted(files) if not _is_litter(file))
        seen.add(real)


def _loose(root: Path, files: list[Path]) -> list[Remark]:
    """Remarks on images outside the class folders; other files there are nobody's business."""
    return [
        Remark(_name(root, path), "lies outside the class folders")
        for path in files
        if path.suffix.lower() in IMAGE_ENDINGS
    ]
