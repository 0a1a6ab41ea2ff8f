"""Image files for studies, and networks that are trained on them as by `zoo train`."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.sources.config import DataConfig
from pipelines.sources.opening.dataset import open_source
from pipelines.storage.split_metrics import SplitMetrics
from zoo.files import replacing, write_text


def write_table(
    data: str,
    folder: Path,
    *,
    per_label: int,
    tests: int,
    seed: int,
    label_of: Callable[[str], str] = str,
) -> Path:
    """Writes a table of an embedded data set's images, as DATA of `train`.

    Its paths are relative: how images are split does not depend on where the folder is.

    Args:
        data: `digits`, `signs` or `textures`; its images are written as files once.
        folder: The study's folder.
        per_label: Training images of each label.
        tests: Test images of each class, the same for every `per_label` and seed.
        seed: Seed of the choice of training images.
        label_of: Maps a class to its label in the table. Classes of one label take turns.

    Returns:
        The table's path.
    """
    rng = np.random.default_rng(seed)
    shown: dict[str, list[list[Path]]] = {}
    rows: list[tuple[str, str, str]] = []
    for name, images in _write_images(data, folder / data).items():
        label = label_of(name)
        order = rng.permutation(len(images) - tests)
        shown.setdefault(label, []).append([images[tests:][i] for i in order])
        rows += [(image.relative_to(folder).as_posix(), label, "test") for image in images[:tests]]
    for label, classes in shown.items():
        turns = list(chain.from_iterable(zip(*classes, strict=False)))
        rows += [
            (image.relative_to(folder).as_posix(), label, "train") for image in turns[:per_label]
        ]
    path = folder / f"{data}-{len(shown)}-{per_label}-{seed}.csv"
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        csv.writer(file).writerows((("path", "label", "split"), *rows))
    return path


def _write_images(data: str, folder: Path) -> dict[str, list[Path]]:
    """Returns the files of each class; writes them if they are not there yet."""
    done = folder / "written"
    if not done.exists():
        source = open_source(data, DataConfig(), seed=0)
        for split, examples in source.splits.items():
            for index, content in enumerate(examples.encoded or ()):
                place = folder / source.class_names[int(examples.labels[index])]
                place.mkdir(parents=True, exist_ok=True)
                suffix = "jpg" if content[:2] == b"\xff\xd8" else "png"
                (place / f"{split}-{index:05d}.{suffix}").write_bytes(content)
        write_text(done, "")
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    return {path.name: sorted(path.iterdir()) for path in classes}


def train_on(table: Path, settings: Mapping[str, Any]) -> SplitMetrics:
    """Trains on a table's images, without augmentation unless the settings have some.

    Args:
        table: A table of `write_table`. A fifth of its images, at least one of each class, is put
            aside for validation, whatever is trained.
        settings: Settings of the recipe by their paths.

    Returns:
        The metrics of the test images.
    """
    from pipelines.recipe.recipe import Recipe
    from pipelines.training.train import train

    recipe = Recipe.for_data(str(table)).override(
        {"augment.policy": "none", "train.folds": 0, **settings}
    )
    folder = table.parent / "run"
    shutil.rmtree(folder, ignore_errors=True)
    metrics = train(table, recipe, out=folder).metrics["test"]
    shutil.rmtree(folder)
    return metrics
