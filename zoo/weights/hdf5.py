"""Weight files in HDF5: a check that they hold numbers and nothing else.

HDF5 is parsed by a C library that damaged files were seen to crash. The first to open a file
is therefore a process of its own, `hdf5_probe.py`, with bounded memory and time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import WeightsError

_PROBE = Path(__file__).with_name("hdf5_probe.py")

_START_S = 60.0
"""Seconds that the process may take, and beyond these one for so many bytes:"""
_BYTES_PER_S = 5_000_000

_SUFFIXES = (".h5", ".hdf5")


@dataclass(frozen=True)
class Contents:
    """What a weight file holds.

    Args:
        parameters: Floating-point numbers in the group that was asked for: states of random
            generators are integers and do not count.
        largest: The largest dimension of any of its arrays.
    """

    parameters: int
    largest: int


def count_parameters(path: Path, group: str = "") -> int:
    """Checks a weight file, and counts its floating-point numbers; see `examine`.

    Raises:
        WeightsError: The file is no HDF5 file, or has more than plain arrays of numbers.
    """
    return examine(path, group=group).parameters


def check_weight_file(path: Path) -> None:
    """Checks a weight file before it is parsed in this process, if it is an HDF5 file.

    Raises:
        WeightsError: It is damaged, or has more than plain arrays of numbers.
    """
    if path.suffix in _SUFFIXES:
        examine(path)


def examine(path: Path, *, member: str = "", group: str = "") -> Contents:
    """Checks that an HDF5 file holds arrays of numbers alone, and counts these.

    HDF5 can refer to other files of the machine, by links and by storage outside of the file,
    and a compressed file of a kilobyte can unfold to gigabytes. Keras writes none of it, so a
    file with any of it was not written by Keras and is not given to its loader. Every array is
    read once, in another process: where that crashes, it is the only one to.

    Args:
        path: The file.
        member: The name of the HDF5 file inside of `path`, if that is a zip file.
        group: Where to count, such as `layers/vision_encoder`; everywhere by default. The
            whole file is checked all the same.

    Raises:
        WeightsError: The file is no HDF5 file, or has more than plain arrays of numbers.
    """
    found = _run_probe(path, member, group)
    if "refused" in found:
        raise WeightsError(
            f"{path} is not a plain weight file",
            expected="arrays of numbers alone, as Keras writes them",
            received=found["refused"],
            mend="take the file from its publisher",
        )
    if "damaged" in found:
        raise WeightsError(
            f"{path} cannot be read",
            expected="a weight file in HDF5, as Keras writes it",
            received=found["damaged"][:120],
            mend="copy or download it again",
        )
    return Contents(found["parameters"], found["largest"])


def _run_probe(path: Path, member: str, group: str) -> dict[str, Any]:
    """Returns what the probe printed, or how it ended instead."""
    # -I ignores the environment and the working folder; its packages are those of this process.
    places = json.dumps([place for place in sys.path if os.path.isabs(place)])
    command = [sys.executable, "-I", str(_PROBE), places, str(path), member, group]
    try:
        limit_s = _START_S + path.stat().st_size / _BYTES_PER_S
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return {"damaged": f"a parser that does not end within {limit_s:.0f} s"}
    except OSError as error:
        return {"damaged": error.strerror or str(error)}
    if done.returncode < 0:
        return {"damaged": f"a crash of the parser: {signal.strsignal(-done.returncode)}"}
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        return {"damaged": lines[-1] if lines else f"exit status {done.returncode}"}
    return found
