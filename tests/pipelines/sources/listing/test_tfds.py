"""TFDS data sets: prepared offline where that can be, refused in seconds where it cannot."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.sources.opening.dataset import open_source
from tests.support.photographs import photo
from zoo.errors import DataError, UnknownNameError


@pytest.fixture
def tfds_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    return tmp_path / "tfds"


def define(
    called: str, features: Callable[[], dict], examples: Callable[[int], dict], **spans: int
) -> None:
    """Registers a builder that draws what it holds, as a user's own would."""
    import tensorflow_datasets as tfds

    class Drawn(tfds.core.GeneratorBasedBuilder):
        name = called
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features())
            )

        def _split_generators(self, dl_manager):
            if called == "fetches":
                # Nothing listens there, and no resolver knows the name.
                dl_manager.download("http://nowhere.invalid/photos.tgz")
            return {split: self._generate_examples(count) for split, count in spans.items()}

        def _generate_examples(self, count=0):
            for index in range(count):
                yield index, examples(index)


def labeled() -> dict:
    import tensorflow_datasets as tfds

    image = tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg")
    return {"image": image, "label": tfds.features.ClassLabel(names=["moth", "fly"])}


def test_tfds_builder_prepares_without_a_network(
    tfds_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    define("insects", labeled, lambda i: {"image": np.asarray(photo(i)), "label": i % 2},
           train=12, validation=4, extra=3)  # fmt: skip
    source = open_source("tfds:insects")
    assert source.class_names == ("moth", "fly")
    assert {name: len(part) for name, part in source.splits.items()} == {"train": 12, "val": 4}
    assert source.train.names[0] == "insects/train/00000"
    # Still encoded as the builder wrote it.
    assert source.train.read(0).startswith(b"\xff\xd8\xff")
    assert capsys.readouterr().out == ""
    assert (tfds_folder / "insects").is_dir()


def test_tfds_pixels_that_are_not_encoded_become_png(tfds_folder: Path) -> None:
    import tensorflow_datasets as tfds

    def plain() -> dict:
        pixels = tfds.features.Tensor(shape=(5, 4, 1), dtype=np.uint8)
        return {"pixels": pixels, "kind": tfds.features.ClassLabel(num_classes=2)}

    define("plain", plain, lambda i: {"pixels": np.full((5, 4, 1), i, np.uint8), "kind": i % 2},
           train=10)  # fmt: skip
    source = open_source("tfds:plain")
    assert source.train.read(0).startswith(b"\x89PNG")
    assert source.class_names == ("0", "1")
    assert {name: len(part) for name, part in source.splits.items()} == {"train": 8, "val": 2}


def test_tfds_without_images_is_refused_with_its_features(tfds_folder: Path) -> None:
    import tensorflow_datasets as tfds

    define("letters", lambda: {"text": tfds.features.Text()}, lambda i: {"text": "a"}, train=3)
    with pytest.raises(DataError, match=r"one label each; .* received text \(Text\)"):
        open_source("tfds:letters")
    assert not tfds_folder.exists()


def test_tfds_without_train_is_refused(tfds_folder: Path) -> None:
    define("exam", labeled, lambda i: {"image": np.asarray(photo(i)), "label": i % 2}, test=4)
    with pytest.raises(DataError, match="has no split called train; received test"):
        open_source("tfds:exam")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("tfds:tf_flower", "Unknown TFDS data set 'tf_flower'. Did you mean 'tf_flowers'"),
        ("tfds:texture", "Did you mean 'textures'"),
        ("tfds:cifar10_1:v5", "configuration of TFDS's cifar10_1 'v5'. .*v4"),
    ],
)
def test_unknown_tfds_name_is_refused(tfds_folder: Path, data: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        open_source(data)


def test_cache_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"Cannot prepare 'textures' .*set ZOO_CACHE"):
        open_source("textures")
    with pytest.raises(DataError, match="'textures' has no configurations"):
        open_source("tfds:textures:large")


def test_tfds_without_a_name_is_refused() -> None:
    with pytest.raises(DataError, match="No data set is named; expected tfds:NAME"):
        open_source("tfds:")


def test_tfds_download_without_a_network_fails_in_seconds(tfds_folder: Path) -> None:
    define("fetches", labeled, lambda i: {}, train=4)
    started = time.monotonic()
    message = "'fetches' is not prepared .*no connection to nowhere.invalid; .*TFDS_DATA_DIR"
    with pytest.raises(DataError, match=message) as caught:
        open_source("tfds:fetches")
    assert time.monotonic() - started < 15
    assert "\n" not in str(caught.value)
