"""Leases: which worker has which trials, and until when it is believed to be alive."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field


@dataclass
class _Lease:
    until: float
    trials: list[str] = field(default_factory=list)


class Leases:
    """Trials lent to workers, each for as long as its worker gives signs of life.

    Args:
        lease_s: Seconds a worker is believed to be alive after its last sign.
        clock: Tells the time in seconds.
    """

    def __init__(self, lease_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.lease_s = lease_s
        self._clock = clock
        self._leases: dict[str, _Lease] = {}

    @property
    def workers(self) -> list[str]:
        """Those believed to be alive."""
        return list(self._leases)

    def renew(self, worker: str) -> None:
        """Takes a sign of life; of a worker that was given up, or never seen, it is the first."""
        until = self._clock() + self.lease_s
        self._leases.setdefault(worker, _Lease(until)).until = until

    def lend(self, worker: str, trials: Iterable[str]) -> None:
        """Lends trials to a worker, which is a sign of life."""
        self.renew(worker)
        self._leases[worker].trials.extend(trials)

    def release(self, trial: str) -> None:
        """Takes a trial back from whoever has it, since it is done."""
        for lease in self._leases.values():
            if trial in lease.trials:
                lease.trials.remove(trial)

    def end(self, worker: str) -> list[str]:
        """Ends a worker's lease; returns the trials it leaves undone."""
        lease = self._leases.pop(worker, None)
        return lease.trials if lease else []

    def expire(self) -> dict[str, list[str]]:
        """Ends the leases that ran out; returns the trials each worker leaves undone."""
        now = self._clock()
        late = [worker for worker, lease in self._leases.items() if lease.until < now]
        return {worker: self.end(worker) for worker in late}
