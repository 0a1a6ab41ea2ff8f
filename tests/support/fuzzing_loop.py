"""The loop over cases, in a process of bounded memory; each case has ten seconds.

They are seconds of the processor, since the machine may be busy; a case that waits for ever
ends after five minutes.
"""

from __future__ import annotations

import contextlib
import json
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.support.memory import peak_mb
from zoo.errors import ZooError

HANG_S = 10.0
WAIT_S = 300.0
SPARE_BYTES = 2**30
"""Data that the process may have beyond what it has when the loop begins."""

MAX_LINE = 5000
"""Characters of an error's line, at most."""


@dataclass(frozen=True)
class Reader:
    """A reader and its inputs.

    Args:
        name: Its name in the report.
        mutate: Makes the input of a case, reproducibly.
        read: Reads it; the folder is empty at first, and the reader's own.
        samples: Valid inputs: to refuse one is a fault too.
        cases: How many mutated ones.
    """

    name: str
    samples: Sequence[bytes]
    mutate: Callable[[random.Random], bytes]
    read: Callable[[bytes, Path], Any]
    cases: int = 2000


def in_file(name: str, read: Callable[[Path], Any]) -> Callable[[bytes, Path], Any]:
    """Returns a reader of bytes that reads them from a file."""

    def write_and_read(content: bytes, folder: Path) -> Any:
        (folder / name).write_bytes(content)
        return read(folder / name)

    return write_and_read


@dataclass
class Tally:
    """What became of a reader's cases."""

    cases: int = 0
    read: int = 0
    refused: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


class _HangError(BaseException):
    pass


def run(readers: Sequence[Callable[[Path], Reader]], names: Sequence[str] = ()) -> None:
    """Fuzzes readers and prints the tallies by name, as JSON.

    Args:
        readers: Each makes a reader, with samples in a folder of its own.
        names: Those to run; all by default. A number among them is that of cases.
    """
    counts = [int(name) for name in names if name.isdecimal()]
    names = [name for name in names if not name.isdecimal()]
    tallies: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        made = [build(Path(tempfile.mkdtemp(dir=folder))) for build in readers]
        _limit_memory()
        signal.signal(signal.SIGALRM, _hang)
        signal.signal(signal.SIGPROF, _hang)
        for reader in made:
            if not names or reader.name in names:
                reader = replace(reader, cases=counts[0] if counts else reader.cases)
                tally = _fuzz(reader, Path(tempfile.mkdtemp(dir=folder)))
                tallies[reader.name] = vars(tally)
                print(reader.name, tally, file=sys.stderr, flush=True)
    imported = "tensorflow" in sys.modules
    print(json.dumps({"readers": tallies, "peak_mb": peak_mb(), "tensorflow": imported}))


def _fuzz(reader: Reader, folder: Path) -> Tally:
    tally, start = Tally(), time.monotonic()
    for index in range(-len(reader.samples), reader.cases):
        rng = random.Random(f"{reader.name} {index}")
        content = reader.samples[index] if index < 0 else reader.mutate(rng)
        tally.cases += index >= 0
        try:
            signal.setitimer(signal.ITIMER_PROF, HANG_S)
            signal.setitimer(signal.ITIMER_REAL, WAIT_S)
            try:
                reader.read(content, folder)
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
                signal.setitimer(signal.ITIMER_REAL, 0)
            tally.read += 1
        except ZooError as error:
            tally.refused += 1
            if index < 0:
                tally.faults.append(f"sample {index} is refused: {error}")
            if "\n" in str(error) or len(str(error)) > MAX_LINE:
                tally.faults.append(f"case {index}: no short line: {str(error)[:200]!r}")
        except (Exception, _HangError) as error:
            place = error.__traceback__
            while place and place.tb_next:
                place = place.tb_next
            where = place and f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}"
            tally.faults.append(f"case {index}: {type(error).__name__}: {str(error)[:150]} {where}")
    tally.seconds = round(time.monotonic() - start, 1)
    return tally


def _hang(*_: object) -> None:
    raise _HangError(f"longer than {HANG_S:.0f} s, or waiting for {WAIT_S:.0f} s")


def _limit_memory() -> None:
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text()
        data = next(line for line in status.splitlines() if line.startswith("VmData"))
        held = int(data.split()[1]) * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (held + SPARE_BYTES, resource.RLIM_INFINITY))
