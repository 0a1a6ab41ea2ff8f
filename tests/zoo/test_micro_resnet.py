"""MicroResNet: any size from 32 px, and a saved one loads without this project."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from zoo.backbones import BACKBONES
from zoo.backbones.micro_resnet import ROWS
from zoo.preprocessing import NORMALISATIONS


@pytest.mark.parametrize(("size", "map_size"), [(32, 4), (33, 4), (48, 6), (64, 8)])
def test_any_size_from_32(size: int, map_size: int) -> None:
    model = BACKBONES["micro_resnet_s"].build(size)
    assert tuple(model.output.shape) == (None, map_size, map_size, 128)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_convolution_is_normalised_and_he_initialised(row: object) -> None:
    model = BACKBONES[row.name].build(32)  # type: ignore[attr-defined]
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert len(convolutions) == 10
    for convolution in convolutions:
        assert not convolution.use_bias
        assert isinstance(
            model.get_layer(f"{convolution.name}_bn"), keras.layers.BatchNormalization
        )
        kernel = np.asarray(convolution.kernel)
        expected = np.sqrt(2 / (9 * kernel.shape[2]))
        # 800 values or more: the standard deviation of a sample that size is within 10 %.
        assert kernel.std() == pytest.approx(expected, rel=0.1)


def test_features_keep_their_scale_at_initialisation() -> None:
    keras.utils.set_random_seed(0)
    pixels = np.random.default_rng(0).uniform(0, 255, (16, 32, 32, 3)).astype("float32")
    normalised = NORMALISATIONS["cifar10"].apply(keras.ops.convert_to_tensor(pixels))
    features = np.asarray(BACKBONES["micro_resnet_m"].build(32)(normalised, training=False))
    assert 0.1 < features.std() < 100


def test_a_saved_model_loads_without_this_project(tmp_path: Path) -> None:
    model = BACKBONES["micro_resnet_s"].build(32)
    path = tmp_path / "model.keras"
    model.save(path)
    pixels = np.full((1, 32, 32, 3), 0.5, "float32")
    np.save(tmp_path / "expected.npy", np.asarray(model(pixels, training=False)))
    code = (
        "import sys, keras, numpy as np; "
        "model = keras.saving.load_model('model.keras'); "
        "pixels = np.full((1, 32, 32, 3), 0.5, 'float32'); "
        "features = np.asarray(model(pixels, training=False)); "
        "print(np.array_equal(features, np.load('expected.npy')), 'zoo' in sys.modules)"
    )
    # -P and another folder: nothing of this project is on the path.
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={"PATH": "", "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "True False", done.stderr
