"""Enumeration of faults: a job's n-th file operation fails, for n = 1, 2, 3 …; a program.

    python -m tests.support.fault_enumeration JOB [--resumes N] [--faults N]

A kill at an operation leaves the disk as it is at that moment, so one run of the job shows
what every kill leaves: the program keeps a copy of the job's folders at each operation where
what is visible has changed, and one with half of a write to a visible file. From each copy
the job goes on in a process of its own, and has to end as the undisturbed one. For a full and
for a failing disk, and for a few real kills, the job runs once for each operation of a kind on
a file; where it leaves a state that a kill leaves too, that one has been tried already. What
libraries write in C meets a limit on the size of files, which is an error, or kills.

Every process is forked from one that has imported TensorFlow and not used it. N limits how
many are tried, evenly spread; without it, all are. Prints the figures as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.support.fault_jobs import JOBS, FaultJob, read_state
from tests.support.faults import Faults
from tests.support.tiny import write_images
from zoo.errors import ZooError
from zoo.files import is_temporary

_T = TypeVar("_T")
_MODULES = (
    "pipelines.cli.main",
    "pipelines.pretraining.pretrain",
    "pipelines.search.tune",
    "pipelines.sources.opening.dataset",
    "pipelines.training.train",
)
"""What every job imports."""

_TEMPORARY = re.compile(r"\.([^/]+)\.[0-9a-f]{8}")
_STAMP = re.compile(r"\d{9,}|#\d+")


@dataclass
class Report:
    """What an enumeration found.

    Args:
        job: The job.
        operations: Its file operations.
        states: Visible states of the disk that kills leave.
        resumed: How many of them were gone on from.
        faults: Full and failing disks and real kills that were tried, by kind.
        tolerated: After how many of them the job was done all the same.
        known: How many of them left a state that was gone on from before.
        half_written: Files that were visible half written.
        changed: Files that ended otherwise than those of the undisturbed job.
        wrong: Other failures, one line each.
    """

    job: str
    operations: int = 0
    states: int = 0
    resumed: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    tolerated: int = 0
    known: int = 0
    half_written: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Enumeration:
    """The runs of one job.

    Args:
        name: A row of JOBS.
        scratch: An empty folder.
    """

    def __init__(self, name: str, scratch: Path) -> None:
        self.job: FaultJob = JOBS[name]
        self.base, self.copies = scratch / "job", scratch / "copies"
        write_images(scratch / "data", 4)
        self.report = Report(name)
        self.seen = scratch / "seen.json"

    def run(self, max_resumes: int | None, max_faults: int | None) -> Report:
        """Tries as many faults as asked for, of every kind."""
        operations = self._run_with_copies()
        self.expected = self._state()
        self.report.operations = len(operations)
        copies = sorted(self.copies.iterdir())
        self.report.states = len(copies)
        self.tried = [self.expected]
        for copy in _spread(copies, max_resumes):
            self._restore(copy)
            self.tried.append(self._state())
            self.report.resumed += 1
            self._go_on(f"killed at {copy.name}")
        # One operation of each kind on each file, temporary names aside.
        numbers: dict[tuple[str, str], int] = {}
        for number, (what, path) in enumerate(operations, 1):
            name = _STAMP.sub("N", _TEMPORARY.sub(r"TEMPORARY \1", path))
            numbers.setdefault((what, name), number)
        for kind, most in (("full", max_faults), ("failing", max_faults), ("kill", 3)):
            for number in _spread(sorted(numbers.values()), most):
                what, path = operations[number - 1]
                at = f"{kind} at {number}, {what} {os.path.relpath(path, self.base)}"
                self._try_fault(
                    kind, at, lambda n=number, k=kind: Faults([self.base], n, k).install()
                )
        for limit in _spread(self.limits, max_faults):
            for kind in ("limit", "limit kills"):
                self._try_fault(kind, f"{kind} {limit}", lambda n=limit, k=kind: _limit(n, k))
        return self.report

    def _run_with_copies(self) -> list[tuple[str, str]]:
        faults = _CopyingFaults([self.base], copies=self.copies)
        self._clear()
        status, said = self._fork(faults.install, faults)
        if status:
            raise SystemExit(f"the undisturbed job fails: {said}")
        # Half of each file.
        written = (file for file in (self.base / "out").rglob("*") if file.is_file())
        self.limits = sorted({file.stat().st_size // 2 for file in written})
        return [tuple(one) for one in json.loads(self.seen.read_text())]

    def _try_fault(self, kind: str, at: str, install: Callable[[], None]) -> None:
        self._clear()
        status, said = self._fork(install)
        counted = self.report.faults
        counted[kind] = counted.get(kind, 0) + 1
        lines = [line for line in said.splitlines() if line.startswith("error: ")]
        if status == 0:
            # A cache may be written in vain.
            self.report.tolerated += 1
        elif "kill" in kind:
            if status not in (-signal.SIGKILL, -signal.SIGXFSZ):
                self.report.wrong.append(f"{at}: exit status {status}, {said[-300:]}")
        elif status != 1 or len(lines) != 1 or "Traceback" in said:
            self.report.wrong.append(f"{at}: exit status {status}, {said[-300:]}")
        elif str(self.base) not in lines[0] or "make room" not in lines[0]:
            self.report.wrong.append(f"{at}: {lines[0]}")
        state = self._state()
        if state in self.tried:
            self.report.known += 1
            return
        self.tried.append(state)
        self._go_on(at)

    def _go_on(self, after: str) -> None:
        """Runs the job again, and compares what it leaves with the undisturbed one."""
        status, said = self._fork()
        if status:
            self.report.wrong.append(f"{after}: goes on with exit status {status}, {said[-300:]}")
            return
        state = self._state()
        files = sorted(state.keys() | self.expected.keys())
        self.report.changed += [
            f"{after}: {file}"
            for file in files
            if file.startswith("out/") and state.get(file) != self.expected.get(file)
        ]
        self.report.wrong += [
            f"{after}: {path} is left"
            for path in (self.base / "out").rglob(".*")
            if is_temporary(path.name) or path.name == ".claim"
        ]

    def _state(self) -> dict[str, str]:
        try:
            return read_state(self.base)
        except ValueError as error:
            self.report.half_written.append(str(error))
            return {}

    def _clear(self) -> None:
        shutil.rmtree(self.base, ignore_errors=True)
        self.base.mkdir()
        (self.base / "cache").mkdir()

    def _restore(self, copy: Path) -> None:
        shutil.rmtree(self.base)
        shutil.copytree(copy, self.base, symlinks=True)

    def _fork(
        self, install: Callable[[], None] | None = None, counting: Faults | None = None
    ) -> tuple[int, str]:
        """Runs the job in a forked process; returns its status and what it said.

        Args:
            install: Called in the process before the job.
            counting: What the process counts; it writes down what it has seen.
        """
        reader, writer = os.pipe()
        sys.stdout.flush()
        process = os.fork()
        if not process:
            status = 70
            try:
                os.dup2(writer, 1)
                os.dup2(writer, 2)
                os.close(writer)
                os.environ["ZOO_CACHE"] = str(self.base / "cache")
                if install:
                    install()
                status = self._run_here()
                if counting:
                    self.seen.write_text(json.dumps(counting.seen))
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        os.close(writer)
        with open(reader, "rb") as file:
            said = file.read().decode(errors="replace")
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), said

    def _run_here(self) -> int:
        try:
            return self.job.run(self.base)
        except ZooError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_status


def _limit(size: int, kind: str) -> None:
    """Limits the size of files that this process writes."""
    if kind == "limit kills":
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


class _CopyingFaults(Faults):
    """Counts operations, and keeps what a kill at each of them would leave."""

    def __init__(self, roots: Sequence[Path], *, copies: Path) -> None:
        super().__init__(roots)
        self._root, self._copies = roots[0], copies
        self._visible: Any = None
        self._busy = False

    def meet(self, what: str, path: str, write: Any = None, content: Any = b"") -> None:
        if self._busy:
            return
        self._busy = True
        try:
            before = len(self.seen)
            super().meet(what, path)
            if len(self.seen) > before:
                self._keep(path, bytes(content))
        finally:
            self._busy = False

    def _keep(self, path: str, content: bytes) -> None:
        files = [file for file in self._root.rglob("*") if not file.is_symlink() and file.is_file()]
        visible, hidden = [], []
        for file in sorted(files):
            inside = file.relative_to(self._root)
            is_hidden = any(is_temporary(part) for part in inside.parts)
            if not is_hidden and "logs" not in inside.parts:
                stat = file.stat()
                visible.append((inside, stat.st_ino, stat.st_size, stat.st_mtime_ns))
            elif is_hidden:
                hidden.append(inside)
        self._copies.mkdir(exist_ok=True)
        copy = self._copies / f"{len(self.seen):06d}"
        if visible != self._visible:
            self._visible, self._last = visible, copy
            shutil.copytree(self._root, copy, symlinks=True)
        else:
            # The state is known; with it goes what is half written beside it.
            for inside in hidden:
                (self._last / inside).parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(self._root / inside, self._last / inside)
        written = Path(path)
        if content and written.is_file() and (self._root / written.relative_to(self._root)):
            inside = written.relative_to(os.path.realpath(self._root))
            if not any(is_temporary(part) for part in inside.parts) and "#" not in str(inside):
                torn = copy.with_name(f"{copy.name}-torn")
                shutil.copytree(self._root, torn, symlinks=True)
                with (torn / inside).open("ab") as file:
                    file.write(content[: len(content) // 2])


def _spread(values: Sequence[_T], most: int | None) -> list[_T]:
    """Returns at most so many values, evenly spread, the first and the last among them."""
    if most is None or len(values) <= most:
        return list(values)
    if most < 2:
        return list(values[:most])
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def _import_libraries() -> None:
    """Imports what jobs need, and uses none of it: threads do not survive a fork."""
    for name in ("INTRAOP", "INTEROP"):
        os.environ.setdefault(f"TF_NUM_{name}_THREADS", "1")
    for library in ("keras", "tensorflow", "keras_tuner", "h5py"):
        importlib.import_module(library)


def main(arguments: Sequence[str] | None = None) -> None:
    """Enumerates the faults of a job and prints the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("job", choices=list(JOBS))
    parser.add_argument("--resumes", type=int)
    parser.add_argument("--faults", type=int)
    given = parser.parse_args(arguments)
    for module in _MODULES:
        importlib.import_module(module)
    if JOBS[given.job].needs_tensorflow:
        _import_libraries()
    with tempfile.TemporaryDirectory() as scratch:
        report = Enumeration(given.job, Path(os.path.realpath(scratch))).run(
            given.resumes, given.faults
        )
    print(json.dumps(asdict(report)))


if __name__ == "__main__":
    main()
