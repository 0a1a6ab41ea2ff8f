"""SqueezeNet: the sizes of Caffe, loading by name, and features of ants and bees."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import keras
import numpy as np
import pytest

from zoo.backbones.catalog import WEIGHTS, build_backbone
from zoo.backbones.squeezenet import build_squeezenet, load_squeezenet
from zoo.errors import WeightsError
from zoo.normalization import NORMALIZATIONS
from zoo.preprocessing import Preprocessing


@pytest.fixture
def weight_file(shared: Path) -> Path:
    return shared / "weights" / WEIGHTS["squeezenet1_1.imagenet"].file


@pytest.mark.parametrize(
    ("size", "expected"),
    # Caffe: floor for convolutions, ceil for pooling; 227 is the authors' size.
    [(227, (113, 56, 28, 14)), (224, (111, 55, 27, 13)), (32, (15, 7, 3, 1)), (40, (19, 9, 4, 2))],
)
def test_feature_maps_have_the_sizes_of_caffe(size: int, expected: tuple[int, ...]) -> None:
    model = build_squeezenet(size)
    layers = ("conv1", "pool1", "pool3", "pool5")
    assert tuple(model.get_layer(name).output.shape[1] for name in layers) == expected


def test_weights_load_by_name(weight_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import h5py

    monkeypatch.setenv("ZOO_WEIGHTS", str(weight_file.parent))
    model = build_backbone("squeezenet1_1.imagenet", 64)
    with h5py.File(weight_file) as file:
        kernel = file["fire9/expand3x3/uniform25"][()]
        bias = file["fire9/expand3x3/fire9/expand3x3_b"][()]
    received = model.get_layer("fire9_expand3x3").get_weights()
    np.testing.assert_array_equal(received[0], kernel)
    np.testing.assert_array_equal(received[1], bias)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("cut", "cannot be read; expected an HDF5 file; received .*; remove the file"),
        (
            "layer",
            r"does not fit squeezenet1_1; expected one group for each of .*; received .*conv11",
        ),
        ("shape", r"expected shapes \[\(1, 1, 64, 16\), \(16,\)\] in fire2_squeeze1x1; received"),
    ],
)
def test_wrong_file_raises_one_line_and_changes_no_weight(
    damage: str, message: str, weight_file: Path, tmp_path: Path
) -> None:
    import h5py

    path = tmp_path / weight_file.name
    shutil.copyfile(weight_file, path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        with h5py.File(path, "a") as file:
            if damage == "layer":
                file.move("conv1", "conv11")
            else:
                del file["fire2/squeeze1x1/uniform2"]
                file["fire2/squeeze1x1/uniform2"] = np.zeros((1, 1, 3, 16), "float32")
    model = build_squeezenet(32)
    before = [value.copy() for value in model.get_weights()]
    with pytest.raises(WeightsError, match=message) as error:
        load_squeezenet(model, path)
    assert "\n" not in str(error.value)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.slow
@pytest.mark.train
@pytest.mark.parametrize(
    ("fit", "least"), [pytest.param("stretch", 0.87, marks=pytest.mark.slow), ("crop", 0.89)]
)
def test_features_separate_ants_from_bees(
    fit: str, least: float, weight_file: Path, shared: Path, tmp_path: Path
) -> None:
    """Measured 0.895 stretched, 0.915 cropped; wrong padding or normalization costs more."""
    import tensorflow as tf
    from sklearn.linear_model import LogisticRegression

    with tarfile.open(shared / "data" / "hymenoptera.tar") as tar:
        tar.extractall(tmp_path, filter="data")

    size = 224
    backbone = build_squeezenet(size)
    load_squeezenet(backbone, weight_file)
    images = keras.Input((size, size, 3))
    features = backbone(NORMALIZATIONS["caffe"].apply(images))
    network = keras.Model(images, keras.layers.GlobalAveragePooling2D()(features))
    preprocessing = Preprocessing.model_validate({"size": size, "fit": fit})

    def extract(split: str) -> tuple[np.ndarray, np.ndarray]:
        paths = [
            (path, label)
            for label, name in enumerate(("ants", "bees"))
            for path in sorted(next(tmp_path.rglob(f"{split}/{name}")).iterdir())
            if path.suffix in (".jpg", ".jpeg")
        ]
        pixels = np.stack([preprocessing(tf.io.read_file(str(path))) for path, _ in paths])
        batches = np.split(pixels.astype("float32"), range(32, len(pixels), 32))
        found = [np.asarray(network(batch, training=False)) for batch in batches]
        return np.concatenate(found), np.array([label for _, label in paths])

    classifier = LogisticRegression(max_iter=3000).fit(*extract("train"))
    assert classifier.score(*extract("val")) >= least
