"""Read a folder of class folders, perhaps below train/, val/ and test/, or an unsorted folder."""

from __future__ import annotations

import os
from pathlib import Path

from pipelines.sources.columns import ByteStrings, Files, Texts
from pipelines.sources.config import DataConfig
from pipelines.sources.examining.formats import IMAGE_EXTENSIONS
from pipelines.sources.listing.class_folders import (
    find_class_folders,
    find_hints,
    list_folder,
    relative_name,
)
from pipelines.sources.listing.walk import files_below
from pipelines.sources.source import UNLABELED, Examples, Finding, Listing
from pipelines.sources.split_names import split_of
from zoo.errors import DataError


def read_folder(data: str, config: DataConfig | None = None) -> Listing:
    """Lists a folder of class folders.

    Classes are sorted by name. A class folder is read recursively. Every file in it
    counts as an image, whatever its extension; the scan finds those that are none.
    Files that file managers leave behind (`.DS_Store` and other names with a leading
    dot, `Thumbs.db`, `desktop.ini`, `__MACOSX`) are ignored. Links are followed. Folders
    whose names differ only in Unicode's form are one class.

    Args:
        data: Path of the folder.
        config: Whether the deepest folders are the classes; None takes the defaults.

    Returns:
        Those of the splits `train`, `val` and `test` that exist, or `all`.

    Raises:
        DataError: The folder or one below it cannot be read, the name of a class
            folder is not valid Unicode, `train/` is missing beside `val/`, or `val/` has no
            class folders.
    """
    import numpy as np

    root, leaves = Path(data), (config or DataConfig()).leaves
    folders, files = list_folder(root)
    splits = _split_folders(data, folders)
    ignored: list[Finding] = []
    if splits is None:
        splits = {"all": root}
    else:
        ignored += _report_unused(root, [f for f in folders if f not in splits.values()])
        ignored += _loose_images(root, files)
    classes: dict[str, dict[str, list[Path]]] = {}
    for split, folder in splits.items():
        classes[split], files = find_class_folders(root, folder, leaves=leaves)
        ignored += _loose_images(root, files)
    if classes.get("train") and "val" in classes and not classes["val"]:
        raise DataError(
            f"{relative_name(root, splits['val'])}/ of {data!r} has no class folders",
            expected="those of train/, with images in them",
            mend="add them, or move it away; without it a share of train takes its place",
        )
    class_names = tuple(sorted({name for found in classes.values() for name in found}))

    empty: list[str] = []
    listed: dict[str, Examples] = {}
    for split, found in classes.items():
        parts: list[ByteStrings] = []
        labels: list[int] = []
        for label, class_name in enumerate(class_names):
            for folder in found.get(class_name, ()):
                below = folder.relative_to(root).as_posix()
                images = files_below(folder, f"{below}/")
                parts.append(ByteStrings.of(map(os.fsencode, images)))
                labels.append(label)
                if not len(parts[-1]):
                    empty.append(relative_name(root, folder))
        if any(map(len, parts)):
            paths = ByteStrings.join(parts)
            listed[split] = Examples(
                names=Texts(paths),
                labels=np.repeat(np.array(labels, np.int64), [len(part) for part in parts]),
                files=Files(str(root), paths),
            )
    hints = find_hints(root, classes, folders if "all" in splits else [], leaves=leaves)
    return Listing(class_names, listed, tuple(empty), tuple(ignored), tuple(hints))


def read_unlabeled_folder(data: str, config: DataConfig) -> Listing:
    """Lists the images in a folder whose labels nobody needs.

    Args:
        data: Path of the folder.
        config: As `read_folder` takes it.

    Returns:
        What `read_folder` finds. If that is nothing, all files below with an extension of
        IMAGE_EXTENSIONS, as one class in the split `all`; no split if there are none.

    Raises:
        DataError: The folder or one below it cannot be read.
    """
    import numpy as np

    sorted_images = read_folder(data, config)
    if sorted_images.splits:
        return sorted_images
    paths = ByteStrings.of(map(os.fsencode, filter(_is_image, files_below(data))))
    if not len(paths):
        return Listing((), {})
    examples = Examples(
        names=Texts(paths), labels=np.zeros(len(paths), np.int64), files=Files(data, paths)
    )
    return Listing(UNLABELED, {"all": examples})


def _split_folders(data: str, folders: list[Path]) -> dict[str, Path] | None:
    """Returns the split folders by split, or None if the folders are classes.

    A class can be called `train` (beside `bus` and `tram`), so folders with the names
    of splits are splits only if one of them holds a folder.
    """
    candidates = [f for f in folders if split_of(f.name)]
    nested = [f for f in candidates if list_folder(f)[0]]
    has_train = any(split_of(f.name) == "train" for f in nested)
    if not nested or (len(nested) < len(folders) and not has_train):
        return None
    # All candidates: a test/ of unlabeled images without class folders is no class either.
    splits: dict[str, Path] = {}
    for split in ("train", "val", "test"):
        named = [folder for folder in candidates if split_of(folder.name) == split]
        plain = [folder for folder in named if folder.name.lower() == split]
        # `val/` counts where `valid/` and `dev/` lie beside it, which are then reported.
        if len(named) > 1 and len(plain) != 1:
            raise DataError(
                f"Several folders of {data!r} name the {split} split",
                expected=f"one of {' and '.join(f'{folder.name}/' for folder in named)}",
                mend="join them or move all but one away",
            )
        if named:
            splits[split] = plain[0] if len(named) > 1 else named[0]
    if "train" not in splits:
        raise DataError(
            f"The folder {data!r} has no train/",
            expected="train/ beside val/ or test/, or class folders alone",
            received=", ".join(f"{folder.name}/" for folder in candidates),
            mend="add train/, or point at one of these folders",
        )
    return splits


def _report_unused(root: Path, folders: list[Path]) -> list[Finding]:
    """Returns a finding for each folder beside the split folders."""
    return [
        Finding(
            f"{relative_name(root, folder)}/", "not read, since it lies beside the split folders"
        )
        for folder in folders
    ]


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
        Finding(relative_name(root, path), "lies outside the class folders")
        for path in files
        if path.suffix.lower() in IMAGE_EXTENSIONS
    ]
