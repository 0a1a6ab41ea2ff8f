"""Images, tables and features in object storage, over HTTP: the same weights as from disk."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.evaluation.evaluate import evaluate
from pipelines.extraction.compute_features import compute_features
from pipelines.inspection.audit import audit
from pipelines.recipe.recipe import Recipe
from pipelines.training.train import train
from tests.support.object_storage import ObjectStorage, serve_objects
from tests.support.tiny import write_images

pytestmark = pytest.mark.train

ADDRESS = "s3://bucket/photos"

SETTINGS: dict[str, Any] = {
    "backbone": {"name": "micro_resnet_s.cifar10"},
    "augment": {"policy": "none"},
}


@pytest.fixture
def storage() -> Iterator[ObjectStorage]:
    """Object storage that fails every tenth request."""
    with pytest.MonkeyPatch.context() as patch, serve_objects(patch) as served:
        yield served


@pytest.fixture
def photos(storage: ObjectStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images on disk and, with a table of them, at ADDRESS; the cache is empty."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    folder = write_images(tmp_path / "photos", 8)
    storage.put_folder(folder, ADDRESS)
    tables = shutil.copytree(folder, tmp_path / "tables")
    with (tables / "images.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label"])
        for path in sorted(folder.rglob("*.jpg")):
            writer.writerow([path.relative_to(folder).as_posix(), path.parent.name])
    storage.put_folder(tables, "s3://bucket/tables")
    storage.fail_every = 10
    return folder


def _train(data: str | Path, out: Path) -> list[np.ndarray[Any, Any]]:
    run = train(data, Recipe.for_data(data, settings=SETTINGS), out=out)
    return [np.asarray(weight) for weight in run.model.weights]


def _assert_equal(found: list[np.ndarray[Any, Any]], expected: list[np.ndarray[Any, Any]]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_weights_are_those_of_images_on_disk(
    storage: ObjectStorage, photos: Path, tmp_path: Path
) -> None:
    expected = _train(photos, tmp_path / "disk")
    _assert_equal(_train(ADDRESS, tmp_path / "folder"), expected)
    assert storage.failed >= 2
    _assert_equal(_train("s3://bucket/tables/images.csv", tmp_path / "table"), expected)
    compute_features(photos, Recipe.for_data(photos, settings=SETTINGS), out="s3://bucket/place")
    _assert_equal(_train("s3://bucket/place", tmp_path / "place"), expected)
    compute_features(ADDRESS, Recipe.for_data(ADDRESS, settings=SETTINGS), out="s3://bucket/both")
    _assert_equal(_train("s3://bucket/both", tmp_path / "both"), expected)

    # What is there is listed and not fetched.
    before = storage.requests
    assert evaluate(tmp_path / "disk", ADDRESS) == evaluate(tmp_path / "disk", photos)
    assert storage.requests - before < 12
    assert audit(ADDRESS).clean


def test_address_with_nothing_is_named_in_one_line(
    storage: ObjectStorage, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from pipelines.cli.main import run_command

    assert run_command(["train", "s3://nowhere/photos", "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: There is nothing at s3://nowhere/photos; expected a folder")
