"""Weight files in HDF5: a check that they hold numbers and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.errors import WeightsError


def count_parameters(path: Path, group: str = "") -> int:
    """Checks that an HDF5 file holds arrays of numbers alone, and counts these.

    HDF5 can refer to other files of the machine, by links and by storage outside of the file,
    and a compressed file of a kilobyte can unfold to gigabytes. Keras writes none of it, so a
    file with any of it was not written by Keras and is not given to its loader.

    Args:
        path: The file.
        group: Where to count, such as `layers/vision_encoder`; everywhere by default. The
            whole file is checked all the same.

    Returns:
        Floating-point numbers in the group: states of random generators are integers and do
        not count.

    Raises:
        WeightsError: The file is no HDF5 file, or has more than plain arrays of numbers.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return _count(file, path, f"/{group}".rstrip("/"))
    except (OSError, RuntimeError, KeyError) as error:
        raise WeightsError(
            f"{path} cannot be read",
            expected="a weight file in HDF5, as Keras writes it",
            received=str(error)[:120],
            mend="copy or download it again",
        ) from error


def _count(parent: Any, path: Path, group: str) -> int:
    import h5py

    total = 0
    for name in parent:
        link = parent.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise _refuse(path, f"a {type(link).__name__} at {parent.name}")
        entry = parent[name]
        if isinstance(entry, h5py.Group):
            total += _count(entry, path, group)
            continue
        if not isinstance(entry, h5py.Dataset):
            raise _refuse(path, f"a {type(entry).__name__} at {parent.name}")
        if entry.external or entry.is_virtual:
            raise _refuse(path, f"an array at {entry.name} that lies in another file")
        if entry.chunks is not None:
            raise _refuse(path, f"a chunked or compressed array at {entry.name}")
        # V is bfloat16, which HDF5 does not know.
        if entry.dtype.hasobject or entry.dtype.kind not in "fiubV":
            raise _refuse(path, f"{entry.dtype} at {entry.name}")
        if entry.dtype.kind in "fV" and entry.name.startswith(f"{group}/"):
            total += entry.size
    return total


def _refuse(path: Path, received: str) -> WeightsError:
    return WeightsError(
        f"{path} is not a plain weight file",
        expected="arrays of numbers alone, as Keras writes them",
        received=received,
        mend="take the file from its publisher",
    )
