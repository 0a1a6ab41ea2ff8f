"""HDF5 weight files: numbers are counted, everything else is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from zoo.errors import WeightsError
from zoo.weights.hdf5 import Contents, check_weight_file, count_parameters, examine


def test_counts_the_floats_of_a_keras_file(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dropout(0.5)])
    model.save_weights(tmp_path / "model.weights.h5")
    # 15 floats; the state of the dropout's random generator is two integers.
    assert count_parameters(tmp_path / "model.weights.h5") == 15
    assert count_parameters(tmp_path / "model.weights.h5", "layers/dense") == 15
    assert count_parameters(tmp_path / "model.weights.h5", "layers/den") == 0


def _external_link(file: h5py.File, secret: Path) -> None:
    file["layers"] = h5py.ExternalLink(str(secret), "secret")


def _soft_link(file: h5py.File, secret: Path) -> None:
    file["layers"] = h5py.SoftLink("/kernel")


def _external_storage(file: h5py.File, secret: Path) -> None:
    file.create_dataset("layers", (8,), "u1", external=[(str(secret), 0, 8)])


def _virtual(file: h5py.File, secret: Path) -> None:
    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource(str(secret), "secret", (2,))
    file.create_virtual_dataset("layers", layout)


def _compressed(file: h5py.File, secret: Path) -> None:
    file.create_dataset("layers", data=np.zeros(100_000, np.float32), compression="gzip")


def _texts(file: h5py.File, secret: Path) -> None:
    file["layers"] = ["text"]


def _references(file: h5py.File, secret: Path) -> None:
    file.create_dataset("layers", (1,), h5py.ref_dtype)


def _named_type(file: h5py.File, secret: Path) -> None:
    file["layers"] = np.dtype("f4")


def _cycle(file: h5py.File, secret: Path) -> None:
    file.create_group("layers")["again"] = file["/"]


def _unwritten(file: h5py.File, secret: Path) -> None:
    file.create_dataset("layers", (1 << 40,), "f4")


def _records(file: h5py.File, secret: Path) -> None:
    file["layers"] = np.zeros(3, [("a", "f4"), ("b", "i4")])


def _deep(file: h5py.File, secret: Path) -> None:
    file.create_group("/".join(["layers"] * 60))


@pytest.mark.parametrize(
    "attack",
    [
        _external_link,
        _soft_link,
        _external_storage,
        _virtual,
        _compressed,
        _texts,
        _references,
        _named_type,
        _cycle,
        _unwritten,
        _records,
        _deep,
    ],
)
def test_file_with_more_than_numbers_is_refused(
    attack: Callable[[h5py.File, Path], None], tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "secret", "w") as secret:
        secret["secret"] = np.float32([1, 2])
    with h5py.File(tmp_path / "model.weights.h5", "w") as file:
        file["kernel"] = np.float32([1])
        attack(file, tmp_path / "secret")
    with pytest.raises(WeightsError, match=r"model\.weights\.h5 (is not a plain|cannot be read)"):
        count_parameters(tmp_path / "model.weights.h5")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n" + b"\x00" * 90])
def test_file_that_is_no_hdf5_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.weights.h5").write_bytes(content)
    with pytest.raises(WeightsError, match=r"cannot be read; expected a weight file in HDF5"):
        count_parameters(tmp_path / "model.weights.h5")


@pytest.mark.parametrize("name", ["crashes_the_parser", "never_ends"])
def test_file_that_crashes_the_parser_is_refused(name: str) -> None:
    # libhdf5 1.14.6 (h5py 3.14) ends in a segmentation fault, and goes round and round.
    with pytest.raises(WeightsError, match=r"received a (crash of the|parser that does)"):
        examine(Path(__file__).with_name(f"{name}.h5"))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone\.h5 cannot be read.*No such file"):
        check_weight_file(tmp_path / "gone.h5")


def test_attributes_of_earlier_versions_are_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv1", b"conv2"]
        group = file.create_group("conv1")
        group.attrs["weight_names"] = np.array([], "S1")
        group["kernel"] = np.zeros((3, 7), np.float32)
    assert examine(tmp_path / "old.h5") == Contents(parameters=21, largest=7)
