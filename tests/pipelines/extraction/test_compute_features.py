"""Features computed ahead: those of training, to the bit, each shard once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.extraction import compute_features as job
from pipelines.extraction.compute_features import compute_features, divide_into_shards
from pipelines.recipe.recipe import Recipe
from pipelines.runtime.executor import InThisProcess
from pipelines.sources.opening.dataset import open_source
from pipelines.training.train import train
from tests.support.places import read_all_features
from tests.support.tiny import write_images
from zoo.errors import ClusterError, DataError, RecipeError, WorkerError

pytestmark = pytest.mark.train

BACKBONE = "micro_resnet_s.cifar10"

RECIPE = Recipe.from_settings(
    {"backbone": {"name": BACKBONE}, "augment": {"policy": "none"}, "features": {"engine": "keras"}}
)


_PLAIN = {"augment.policy": "none"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 images, one that is none among them, and one of a format that is converted."""
    folder = write_images(tmp_path_factory.mktemp("data") / "photos", 12)
    blue = folder / "blue"
    (blue / "000.jpg").write_bytes(b"\xff\xd8 no JPEG")
    Image.open(blue / "001.jpg").save(blue / "001.ppm")
    (blue / "001.jpg").unlink()
    return folder


@pytest.fixture(scope="module")
def place(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("places") / "place"
    found = compute_features(photos, RECIPE, out=out, shard_images=10)
    assert (found.images, found.shards, found.computed) == (35, 4, 4)
    (finding,) = found.unusable
    assert finding.name == "blue/000.jpg"
    assert "JPEG" in finding.reason
    return out


def _weights(run: Any) -> list[np.ndarray[Any, Any]]:
    return [np.asarray(weight) for weight in run.model.weights]


def test_training_on_a_place_ends_with_the_weights_of_training_on_its_images(
    photos: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(photos, RECIPE, out=tmp_path / "whole")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    recipe = Recipe.for_data(place, settings={"augment": {"policy": "none"}})
    assert recipe.backbone.name == BACKBONE
    placed = train(place, recipe, out=tmp_path / "placed")
    for one, other in zip(_weights(whole), _weights(placed), strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole.metrics["val"] == placed.metrics["val"]
    assert placed.record["images"]["skipped"] == 1


def test_features_suffice_where_the_images_are_gone(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    images = shutil.copytree(photos, tmp_path / "images")
    place = tmp_path / "place"
    compute_features(images, RECIPE, out=place)
    images.rename(tmp_path / "moved")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    with caplog.at_level("INFO", "pipelines"):
        run = train(place, Recipe.for_data(place).override(_PLAIN), out=tmp_path / "run")
    assert "the whole model is not compared" in caplog.text
    assert run.record["images"] == {"train": 35, "skipped": 1}
    views = {"augment.policy": "photo", "features.views": 1}
    with pytest.raises(DataError, match=r"nor its features in augmented views.*augment.policy=no"):
        train(place, Recipe.for_data(place).override(views), out=tmp_path / "views")


def test_features_of_another_backbone_are_computed_from_the_images(
    place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = Recipe.for_data(place, backbone="micro_resnet_m.cifar10").override(_PLAIN)
    with caplog.at_level("INFO", "pipelines"):
        run = train(place, recipe, out=tmp_path / "run")
    assert f"the features of {place} are not used: another network computed them" in caplog.text
    assert run.record["images"]["train"] == 35


def test_processes_compute_the_same_bits(photos: Path, place: Path, tmp_path: Path) -> None:
    compute_features(photos, RECIPE, out=tmp_path / "place", shard_images=10, cluster="local:2")
    assert read_all_features(tmp_path / "place") == read_all_features(place)
    names = {path.name for path in (place / "shards").iterdir()}
    assert names == {path.name for path in (tmp_path / "place" / "shards").iterdir()}


def test_shards_that_are_there_are_not_computed_again(photos: Path, tmp_path: Path) -> None:
    images = shutil.copytree(photos, tmp_path / "images")
    place = tmp_path / "place"
    assert compute_features(images, RECIPE, out=place, shard_images=10).computed == 4
    before = read_all_features(place)
    lost = sorted((place / "shards").iterdir())[1]
    lost.unlink()
    (place / "features.json").unlink()
    assert compute_features(images, RECIPE, out=place, shard_images=10).computed == 1
    assert read_all_features(place) == before
    assert compute_features(images, RECIPE, out=place, shard_images=10).computed == 0
    # A file with another content is of another shard.
    Image.new("RGB", (40, 40), "white").save(images / "red" / "011.jpg")
    os.utime(images / "red" / "011.jpg", ns=(1, 1))
    assert compute_features(images, RECIPE, out=place, shard_images=10).computed == 1
    assert len(read_all_features(place).keys() - before.keys()) == 1


def test_place_of_other_features_is_left_alone(photos: Path, place: Path) -> None:
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    other = RECIPE.override({"backbone.name": "micro_resnet_m.cifar10"})
    with pytest.raises(DataError, match=f"holds other features.*received those of {BACKBONE}"):
        compute_features(photos, other, out=place)
    assert before == {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_place_may_be_in_object_storage(photos: Path, place: Path, tmp_path: Path) -> None:
    address = f"memory://{tmp_path.name}/place"
    compute_features(photos, RECIPE, out=address)
    source = open_source(address)
    expected = open_source(str(photos))
    for split, examples in source.splits.items():
        assert list(examples.digests) == list(expected.splits[split].digests)
    recipe = Recipe.for_data(address, settings={"augment": {"policy": "none"}})
    run = train(address, recipe, out=tmp_path / "run")
    assert run.recipe.source == address


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"backbone.name": "micro_resnet_s"}, "micro_resnet_s has random weights"),
        ({"backbone.truncate_blocks": 1}, "expected backbone.truncate_blocks=0; received 1"),
        ({"backbone.frozen": False}, "expected backbone.frozen=true; received false"),
    ],
)
def test_features_that_depend_on_more_are_refused(
    photos: Path, tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(RecipeError, match=said):
        compute_features(photos, RECIPE.override(settings), out=tmp_path / "place")
    assert not (tmp_path / "place").exists()


def test_images_without_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the images of 'signs' are not in files of their own"):
        compute_features("signs", RECIPE, out=tmp_path / "place")


def test_images_of_sixteen_bits_ask_for_their_depth(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "photos", 2)
    pixels = np.full((40, 40), 4095, np.uint16)
    Image.fromarray(pixels).save(folder / "red" / "deep.png")
    with pytest.raises(RecipeError, match=r"red/deep.png has colors of 12 bits.*input.depth=16"):
        compute_features(folder, RECIPE, out=tmp_path / "place")
    found = compute_features(folder, RECIPE.override({"input.depth": 12}), out=tmp_path / "place")
    assert found.images == 7


class _Losing(InThisProcess):
    """Loses each worker of a shard."""

    def _submit(self, function: Any, args: tuple[Any, ...], num_cpus: int, num_gpus: int) -> Any:
        def lose(*_: Any) -> None:
            raise WorkerError("it ran out of memory")

        lost = "green/011.jpg" in args[2]
        return super()._submit(lose if lost else function, args, num_cpus, num_gpus)


def test_shard_that_takes_worker_after_worker_is_named(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "open_cluster", lambda *_, **__: _Losing())
    message = r"images from \S+ to \S+ took 3 workers with them; received it ran out of memory"
    with pytest.raises(ClusterError, match=message):
        compute_features(photos, RECIPE, out=tmp_path / "place")
    assert not (tmp_path / "place" / "features.json").exists()


def test_shards_hold_so_many_images_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "SHARD_BYTES", 100)
    sizes = np.array([30] * 12 + [500, -1, 20] + [0] * 25)
    parts = list(divide_into_shards(sizes, 10))
    assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]
    assert (parts[0].start, parts[-1].stop) == (0, len(sizes))
    for part in parts:
        held = sizes[part].clip(0)
        assert 1 <= len(held) <= 10
        assert held.sum() <= 100 or len(held) == 1
