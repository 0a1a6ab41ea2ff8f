"""PyTorch's old format: tensors are read as written, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.torch_files import Global, write_state_dict
from zoo.errors import WeightsError
from zoo.pretrained.torch_archive import read_state_dict

RNG = np.random.default_rng(0)
ARRAYS = {
    "conv.weight": RNG.normal(size=(4, 3, 2, 2)).astype("float32"),
    "fc.weight": np.asfortranarray(RNG.normal(size=(3, 5)).astype("float32")),
    "bn.num_batches_tracked": np.array(7, "int64"),
}


def test_state_dict_is_read_as_written_in_any_memory_order(tmp_path: Path) -> None:
    write_state_dict(tmp_path / "net.pth", ARRAYS)
    received = read_state_dict(tmp_path / "net.pth")
    assert list(received) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert received[name].dtype == array.dtype
        np.testing.assert_array_equal(received[name], array)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("collections", "defaultdict"),
        ("torch", "load"),
        ("numpy", "fromfile"),
    ],
)
def test_other_globals_are_refused(module: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    write_state_dict(path, ARRAYS, extra=Global(module, name))
    with pytest.raises(WeightsError, match=rf"received the global {module}\.{name}, which is no"):
        read_state_dict(path)


@pytest.mark.parametrize("extra", [3, "text", ["list"]])
def test_other_values_than_tensors_are_refused(extra: Any, tmp_path: Path) -> None:
    write_state_dict(tmp_path / "net.pth", ARRAYS, extra=extra)
    with pytest.raises(WeightsError, match=r"cannot be read as PyTorch weights; expected a state"):
        read_state_dict(tmp_path / "net.pth")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: b"", "received .*"),
        (lambda content: b"PK\x03\x04" + content, "received .*"),
        (lambda content: content[:-8], "a cut file"),
        (lambda content: content + b"x", "bytes after the last storage"),
        (lambda content: content[: len(content) // 3], "received .*"),
        (lambda content: content.replace(b"M\xe9\x03.", b"M\xe8\x03.", 1), "protocol 1000"),
    ],
)
def test_damaged_file_is_one_error(damage: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    write_state_dict(path, ARRAYS)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(WeightsError, match=message) as error:
        read_state_dict(path)
    assert "\n" not in str(error.value)


def test_tensor_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    array = np.arange(6, dtype="float32")
    # A view with steps of 2 over a storage of as many values as it has itself.
    write_state_dict(path, {"weight": np.arange(12, dtype="float32")[::2]})
    with pytest.raises(WeightsError, match=r"shape \(6,\) and strides \(2,\) for 6 values"):
        read_state_dict(path)
    write_state_dict(path, {"weight": array})
    np.testing.assert_array_equal(read_state_dict(path)["weight"], array)
