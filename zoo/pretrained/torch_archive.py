"""Read a PyTorch state dictionary without PyTorch, and without running code from the file.

PyTorch's format before version 1.6 is not a zip archive. One file holds, in this order:

    pickle    magic number
    pickle    version of the protocol, 1001
    pickle    byte order and sizes of integers
    pickle    state dictionary, whose tensors name their storages by key
    pickle    keys of the storages, in the order in which they follow
    storages  int64 number of values, then the values, little-endian

Reference: `_legacy_save` in https://github.com/pytorch/pytorch/blob/v1.5.0/torch/serialization.py
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from zoo.errors import WeightsError

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_STORAGE_DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: str
    num_values: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_state_dict(path: Path) -> dict[str, Any]:
    """Reads the tensors of a `.pth` file in PyTorch's format before version 1.6.

    Args:
        path: The file. Its pickles may name tensors of float32 or int64 and
            `OrderedDict`, nothing else.

    Returns:
        NumPy arrays by name, float32 or int64, in the file's order.

    Raises:
        WeightsError: The file is of another format, damaged, or names other objects.
    """
    try:
        with path.open("rb") as file:
            magic, protocol, system = (_Unpickler(file).load() for _ in range(3))
            if (magic, protocol) != (_MAGIC_NUMBER, _PROTOCOL) or not system["little_endian"]:
                raise ValueError(f"magic number {magic!r}, protocol {protocol!r}, {system!r}")
            tensors = _Unpickler(file).load()
            storages = _read_storages(file, tensors)
            return {name: _as_array(tensor, storages) for name, tensor in tensors.items()}
    except (OSError, EOFError, pickle.UnpicklingError, ValueError) as error:
        raise _unreadable(path, str(error)) from error
    except (AttributeError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        # What damaged pickles and other objects than a dictionary of tensors raise.
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error


def _unreadable(path: Path, received: str) -> WeightsError:
    return WeightsError(
        f"{path} cannot be read as PyTorch weights",
        expected="a state dictionary in the format before PyTorch 1.6",
        received=" ".join(received.split())[:160],
    )


class _Unpickler(pickle.Unpickler):
    """Unpickles tensors and `OrderedDict`, and refuses every other global."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in _STORAGE_DTYPES:
            return _STORAGE_DTYPES[name]
        raise pickle.UnpicklingError(f"the global {module}.{name}, which is no tensor")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, num_values, view = pid
        if kind != "storage" or dtype not in _STORAGE_DTYPES.values() or view is not None:
            raise pickle.UnpicklingError(f"the persistent object {pid!r}")
        return _Storage(key, dtype, num_values)


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> _Tensor:
    # The rest is whether gradients are needed, and hooks.
    return _Tensor(storage, offset, shape, strides)


def _read_storages(file: BinaryIO, tensors: dict[str, _Tensor]) -> dict[str, Any]:
    """Reads the storages that follow the pickles, arrays [N] by key."""
    declared = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    keys = _Unpickler(file).load()
    if sorted(keys) != sorted(declared):
        raise ValueError(f"{len(keys)} storages for {len(declared)} in the state dictionary")
    storages = {}
    for key in keys:
        dtype, num_values = np.dtype(declared[key].dtype), declared[key].num_values
        stored = int.from_bytes(file.read(8), "little", signed=True)
        content = file.read(num_values * dtype.itemsize)
        if stored != num_values or len(content) != num_values * dtype.itemsize:
            raise ValueError(f"a storage of {stored} values for {num_values}, or a cut file")
        storages[key] = np.frombuffer(content, dtype)
    if file.read(1):
        raise ValueError("bytes after the last storage")
    return storages


def _as_array(tensor: _Tensor, storages: dict[str, Any]) -> Any:
    """Returns a tensor's values, which need not lie in its storage in the tensor's own order."""
    storage, shape, strides = storages[tensor.storage.key], tensor.shape, tensor.strides
    last = tensor.offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    # Without this check, a damaged file could read the memory beyond the storage.
    if min(tensor.offset, *shape, *strides, 0) < 0 or not (0 in shape or last < len(storage)):
        raise ValueError(f"shape {shape} and strides {strides} for {len(storage)} values")
    strides = tuple(step * storage.itemsize for step in strides)
    view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], shape, strides)
    return np.ascontiguousarray(view).reshape(shape)  # a scalar stays one
