"""Files in PyTorch's format before version 1.6, written without PyTorch."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C


class Global:
    """Stands for an object of a module that is not installed."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class _Tensor:
    def __init__(self, key: str, array: np.ndarray) -> None:
        self.key, self.array = key, array


class _Pickler(pickle._Pickler):
    """Python's own pickler, which can write a global by name and a tensor as PyTorch does."""

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Global):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, _Tensor):
            array = obj.array
            kind = "FloatStorage" if array.dtype == np.float32 else "LongStorage"
            self.save(Global("torch._utils", "_rebuild_tensor_v2"))
            self.write(pickle.MARK)
            # The persistent identifier of the storage, then offset, shape, strides.
            self.save(("storage", Global("torch", kind), obj.key, "cpu", array.size, None))
            self.write(pickle.BINPERSID)
            strides = tuple(step // array.itemsize for step in array.strides)
            for argument in (0, array.shape, strides, False, OrderedDict()):
                self.save(argument)
            self.write(pickle.TUPLE + pickle.REDUCE)
        else:
            super().save(obj, save_persistent_id)


def write_state_dict(path: Path, arrays: dict[str, np.ndarray], **extra: Any) -> None:
    """Writes a state dictionary.

    Args:
        path: The file.
        arrays: float32 or int64, in any contiguous memory order.
        **extra: Further entries, pickled as they are; a `Global` is written by name.
    """
    tensors = {
        name: _Tensor(str(index), array) for index, (name, array) in enumerate(arrays.items())
    }
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"long": 4}}
    keys = [tensor.key for tensor in tensors.values()]
    with path.open("wb") as file:
        for value in (MAGIC_NUMBER, 1001, system, OrderedDict({**tensors, **extra}), keys):
            _Pickler(file, protocol=2).dump(value)
        for array in arrays.values():
            file.write(array.size.to_bytes(8, "little") + array.ravel(order="K").tobytes())
