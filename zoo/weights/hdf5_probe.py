"""Examination of an HDF5 file, in a process of its own that may crash.

Run as a file, never imported: `python -I hdf5_probe.py PATHS FILE MEMBER GROUP`, where PATHS is
a JSON list for `sys.path` and MEMBER the name of the HDF5 file inside of a zip file, or empty.
Prints JSON: `parameters` and `largest` of a plain weight file; `refused` or `damaged`, a
reason, of any other.
"""

import contextlib
import io
import json
import math
import os
import sys
import zipfile
from typing import Any

MAX_OBJECTS = 100_000
"""Groups and arrays of a file, at most; the largest network here has 3,000."""

MAX_DEPTH = 50
"""Levels of groups, at most."""

CPU_S = 3
"""Processor time, in seconds, and beyond it one for so many bytes: damaged texts were seen to
send HDF5 round and round. Python, NumPy and HDF5 start within 0.3 s, and read 1 GB in one."""

BYTES_PER_CPU_S = 20_000_000

SPARE_BYTES = 4 * 2**30
"""Address space beyond what the file needs: Python, NumPy and HDF5 reserve two gigabytes."""


class RefusedError(Exception):
    """The file has more than plain arrays of numbers."""


class Examination:
    """Walks through a file and reads every array and attribute once, as Keras will.

    Args:
        size: Bytes of the file.
        group: Where to count parameters, such as `/layers/vision_encoder`.
    """

    def __init__(self, size: int, group: str) -> None:
        self.left_bytes = size
        self.left_objects = MAX_OBJECTS
        self.group = group
        self.parameters = 0
        self.largest = 0

    def walk(self, parent: Any, depth: int = 0) -> None:
        """Examines a group and all that is in it."""
        import h5py

        if depth > MAX_DEPTH:
            raise RefusedError(f"groups more than {MAX_DEPTH} levels deep")
        self.read_attributes(parent)
        for name in parent:
            self.left_objects -= 1
            if self.left_objects < 0:
                raise RefusedError(f"more than {MAX_OBJECTS:,} groups and arrays")
            link = parent.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise RefusedError(f"a {type(link).__name__} at {parent.name}")
            entry = parent[name]
            if isinstance(entry, h5py.Group):
                self.walk(entry, depth + 1)
            elif isinstance(entry, h5py.Dataset):
                self.read(entry)
            else:
                raise RefusedError(f"a {type(entry).__name__} at {parent.name}")

    def read(self, entry: Any) -> None:
        """Examines and reads an array."""
        if entry.external or entry.is_virtual:
            raise RefusedError(f"an array at {entry.name} that lies in another file")
        if entry.chunks is not None:
            raise RefusedError(f"a chunked or compressed array at {entry.name}")
        # V is bfloat16, which HDF5 does not know; one of fields is a record.
        if entry.dtype.hasobject or entry.dtype.names or entry.dtype.kind not in "fiubV":
            raise RefusedError(f"{entry.dtype} at {entry.name}")
        held = entry.id.get_storage_size()
        if entry.size is None or entry.size * entry.dtype.itemsize != held:
            raise RefusedError(f"{entry.shape} in {held:,} bytes at {entry.name}")
        self.left_bytes -= held
        if self.left_bytes < 0:
            raise RefusedError("arrays larger than the file")
        self.read_attributes(entry)
        entry[()]
        self.largest = max(self.largest, *entry.shape, 0)
        if entry.dtype.kind in "fV" and entry.name.startswith(f"{self.group}/"):
            self.parameters += entry.size

    def read_attributes(self, entry: Any) -> None:
        """Reads the attributes of a group or an array: texts and small arrays."""
        self.left_objects -= len(entry.attrs)
        for name in entry.attrs:
            attribute = entry.attrs.get_id(name)
            self.left_bytes -= math.prod(attribute.shape) * attribute.get_type().get_size()
            if self.left_bytes < 0:
                raise RefusedError(f"attributes of {entry.name} larger than the file")
            entry.attrs[name]


def examine(file: str, member: str, group: str) -> dict[str, Any]:
    """Returns what is printed; see the module.

    Args:
        file: The HDF5 file, or a zip file that holds it.
        member: Its name in the zip file; empty if it is no zip file.
        group: Where to count parameters; empty for everywhere.
    """
    import h5py

    size = os.path.getsize(file)
    _limit(SPARE_BYTES + 4 * size, CPU_S + size // BYTES_PER_CPU_S)
    examination = Examination(size, f"/{group}".rstrip("/"))
    try:
        content: Any = file
        if member:
            with zipfile.ZipFile(file) as archive:
                content = io.BytesIO(archive.read(member))
        with h5py.File(content, "r") as opened:
            examination.walk(opened)
    except RefusedError as error:
        return {"refused": str(error)}
    # Depending on the damage: OSError, RuntimeError, KeyError, TypeError, ValueError,
    # UnicodeDecodeError, MemoryError, BadZipFile …
    except Exception as error:
        return {"damaged": str(error) or type(error).__name__}
    return {"parameters": int(examination.parameters), "largest": int(examination.largest)}


def _limit(num_bytes: int, cpu_s: int) -> None:
    # Windows has no limits, and not every system takes these.
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        for kind, limit in (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_CPU, cpu_s),
            (resource.RLIMIT_AS, num_bytes),
        ):
            _, hard = resource.getrlimit(kind)
            if hard == resource.RLIM_INFINITY or hard > limit:
                resource.setrlimit(kind, (limit, hard))


if __name__ == "__main__":
    sys.path[:] = json.loads(sys.argv[1])
    print(json.dumps(examine(*sys.argv[2:])))
