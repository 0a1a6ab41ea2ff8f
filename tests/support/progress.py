"""A renderer of progress that records what it is told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple


class Update(NamedTuple):
    """One call of a bar's `update`."""

    done: float
    total: float | None
    note: str


@dataclass
class RecordedJob:
    """The bar of one job."""

    description: str
    unit: str
    updates: list[Update] = field(default_factory=list)
    closed: bool = False

    def update(self, done: float, total: float | None, note: str) -> None:
        self.updates.append(Update(done, total, note))


@dataclass
class ProgressRecorder:
    """Records the jobs whose progress was shown, in the order in which they began."""

    jobs: list[RecordedJob] = field(default_factory=list)

    @contextlib.contextmanager
    def __call__(self, description: str, unit: str) -> Iterator[RecordedJob]:
        job = RecordedJob(description, unit)
        self.jobs.append(job)
        yield job
        job.closed = True
