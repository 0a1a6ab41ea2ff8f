"""Weight archives: rounding, the bytes on disk, and arrays of float16."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from zoo.preprocessing import Preprocessing
from zoo.weights.archive import Card, read_archive, round_weight, write_archive, write_pretrained

CARD = Card(
    backbone="micro_resnet_s",
    class_names=("a", "b"),
    display_names=("first", "second, last"),
    preprocessing=Preprocessing(size=32),
    data="none",
    origin="a test",
    split="val",
    num_images=1,
)


@pytest.fixture
def network() -> keras.Model:
    """A large kernel, a small one, and vectors."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((150,))
    x = keras.layers.Dense(150, name="large")(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, name="small")(x))


def test_archive_holds_the_rounded_weights(network: keras.Model, tmp_path: Path) -> None:
    top = keras.layers.Dense(2, name="logits")
    top.build((None, 3))
    path = tmp_path / "net.npz"
    write_pretrained(network, top, CARD, path)
    card, arrays = read_archive(path)
    assert card == CARD
    weights = {f"{layer.name}/{w.name}": w for layer in network.layers for w in layer.weights}
    weights |= {f"logits/{w.name}": w for w in top.weights}
    assert arrays.keys() == weights.keys()
    for name, weight in weights.items():
        np.testing.assert_array_equal(arrays[name], round_weight(weight.numpy()))
        assert arrays[name].shape == tuple(weight.shape)


def test_same_weights_give_the_same_bytes(network: keras.Model, tmp_path: Path) -> None:
    """A file whose weights are written anew keeps its SHA-256."""
    write_pretrained(network, None, CARD, tmp_path / "net.npz")
    write_archive(*read_archive(tmp_path / "net.npz"), tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "net.npz").read_bytes()


def test_large_kernels_are_rounded_to_float16_and_small_ones_to_16_bits() -> None:
    values = np.random.default_rng(0).normal(size=(150, 150)).astype("float32")
    np.testing.assert_array_equal(round_weight(values), values.astype("float16"))
    small = values[:100]
    np.testing.assert_allclose(round_weight(small), small, rtol=2**-16)
    assert not (round_weight(small).view("uint32") & 0xFF).any()
    np.testing.assert_array_equal(round_weight(values[0]), values[0])


def test_kernels_stored_as_float16_are_read(tmp_path: Path) -> None:
    kernel = np.arange(6, dtype="float16").reshape(2, 3)
    text = np.frombuffer(json.dumps(CARD.model_dump(mode="json")).encode(), np.uint8)
    np.savez_compressed(tmp_path / "old.npz", card=text, **{"dense/kernel": kernel})
    np.testing.assert_array_equal(read_archive(tmp_path / "old.npz")[1]["dense/kernel"], kernel)
