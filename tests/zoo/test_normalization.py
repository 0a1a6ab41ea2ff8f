"""Normalizations against their formulas."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from zoo.normalization import NORMALIZATIONS

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.float32)
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
CIFAR_MEAN, CIFAR_STD = np.array([0.4914, 0.4822, 0.4465]), np.array([0.2470, 0.2435, 0.2616])
OWN_MEAN, OWN_STD = np.array([0.3, 0.5, 0.7]), np.array([0.1, 0.2, 0.4])
FORMULAS = {
    "center": PIXELS / 255 - OWN_MEAN,
    "standardize": (PIXELS / 255 - OWN_MEAN) / OWN_STD,
    "none": PIXELS,
    "signed_unit": (PIXELS / 255 - 0.5) / 0.5,
    "offset_127": (PIXELS - 127) / 128,
    "imagenet": (PIXELS / 255 - MEAN) / STD,
    "caffe": PIXELS[..., ::-1] - np.array([103.939, 116.779, 123.68]),
    "cifar10": (PIXELS / 255 - CIFAR_MEAN) / CIFAR_STD,
}


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_normalization_equals_its_formula_also_after_saving(name: str, tmp_path: Any) -> None:
    row = NORMALIZATIONS[name]
    row = row.fitted(tuple(OWN_MEAN), tuple(OWN_STD)) if row.fit else row
    images = keras.Input((8, 8, 3))
    output = keras.layers.Identity()(row.apply(images))
    model = keras.Model(images, output)
    model.save(tmp_path / "model.keras")
    for each in (model, keras.models.load_model(tmp_path / "model.keras")):
        np.testing.assert_allclose(each.predict_on_batch(PIXELS), FORMULAS[name], atol=2e-5)


def test_unfitted_normalization_is_an_error() -> None:
    with pytest.raises(ValueError, match="has to be fitted to the training images first"):
        NORMALIZATIONS["standardize"].apply(PIXELS)
    with pytest.raises(ValueError, match="The normalization 'imagenet' is fixed"):
        NORMALIZATIONS["imagenet"].fitted((0, 0, 0), (1, 1, 1))


def test_constant_channel_is_centered_and_not_scaled() -> None:
    fitted = NORMALIZATIONS["standardize"].fitted((0.5, 0.5, 0.5), (0.0, 0.25, 0.25))
    gray = np.full((1, 2, 2, 3), 127.5, np.float32)
    np.testing.assert_allclose(np.asarray(fitted.apply(gray)), 0, atol=1e-6)
    np.testing.assert_allclose(np.asarray(fitted.apply(gray + 25.5))[..., 0], 0.1, atol=1e-6)
