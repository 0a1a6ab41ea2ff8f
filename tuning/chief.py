"""Chief: gives a search's trials to workers on other processes or machines.

KerasTuner's chief waits for ever for a worker that was killed. Here each worker has a
lease that its signs of life renew, and the trials of one that falls silent are given to
others.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from types import TracebackType
from typing import Any, Protocol

from tuning.leases import Leases
from tuning.protocol import LEASE_S, METHODS, SERVICE, Address, pack, unpack
from zoo.errors import InputError, WorkerError

PATIENCE_S = 600.0
"""Seconds a chief waits for a worker when it has none."""

_LOST_ALONE = 2
"""A trial fails when it was its worker's only one and the worker was lost, so many times."""

Trial = Mapping[str, Any]
"""JSON values; `id` names it."""


class Asking(Protocol):
    """A search as its workers see it, here or through a chief."""

    def ask(self, count: int) -> Sequence[Trial]:
        """Returns at most `count` trials to do; none when there are none for now."""

    def tell(self, result: Mapping[str, Any]) -> None:
        """Takes what became of a trial: `id`, and `failure` if it failed."""


class Search(Asking, Protocol):
    """A search as its chief sees it."""

    @property
    def remaining(self) -> int:
        """How many trials have not been asked for yet."""

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to ask for or to be told."""


class Chief:
    """Serves a search to workers until it is finished.

    A context manager: it listens inside, and afterwards no longer. Whoever reaches its
    port can take trials and tell results; there is no password.

    Args:
        search: What gives trials and takes results; called from one thread at a time.
        fingerprint: Of what a trial's result depends on besides its values; workers with
            another are refused.
        address: Where to listen.
        expected: How many workers are expected, among whom trials are shared out.
        lease_s: Seconds after its last sign of life that a worker is given up.
        patience_s: Seconds to wait for a worker when there is none.
        clock: Tells the time in seconds.

    Raises:
        InputError: The address cannot be listened at.
    """

    def __init__(
        self,
        search: Search,
        fingerprint: str,
        address: Address,
        *,
        expected: int = 1,
        lease_s: float = LEASE_S,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.search, self.fingerprint = search, fingerprint
        self.expected, self.patience_s = expected, patience_s
        self.leases = Leases(lease_s, clock)
        self._clock = clock
        # Taken by whichever thread answers a worker, and by the one that waits.
        self._lock = threading.RLock()
        self._names: dict[str, str] = {}
        self._undone: dict[str, Trial] = {}
        self._left: deque[str] = deque()
        self._company: dict[str, int] = {}
        self._lost_alone: Counter[str] = Counter()
        self._lonely_since = clock()
        self._error: Exception | None = None
        self._server, self.address = self._listen(address)

    def __enter__(self) -> Chief:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop(grace=1.0).wait()

    def wait(self, watch: Callable[[], None] = lambda: None, interval_s: float = 0.2) -> None:
        """Waits until the search is finished and its workers were told so.

        Args:
            watch: Called at every look, to see after the workers; what it raises ends all.
            interval_s: Seconds between two looks.

        Raises:
            WorkerError: There was no worker for too long.
            ZooError: What the search itself raised.
        """
        while True:
            watch()
            with self._lock:
                for worker, trials in self.leases.expire().items():
                    self._lose(worker, trials)
                if self._error:
                    raise self._error
                if self.leases.workers:
                    self._lonely_since = self._clock()
                # The last to be told so may be in the middle of a trial others did first.
                elif self._over:
                    return
                elif self._clock() - self._lonely_since > self.patience_s:
                    raise WorkerError(
                        f"no worker for {self.patience_s:.0f} s at {self.address}",
                        mend="start workers, and go on with --resume",
                    )
            time.sleep(interval_s)

    def lose(self, name: str) -> None:
        """Gives up a worker, which is known to be gone, before its lease runs out.

        Args:
            name: What it joined by.
        """
        with self._lock:
            for worker in [w for w in self.leases.workers if self._names[w] == name]:
                self._lose(worker, self.leases.end(worker))

    @property
    def _over(self) -> bool:
        return self.search.finished and not self._undone

    def _listen(self, address: Address) -> tuple[Any, Address]:
        import grpc

        # Without the option two chiefs could listen at one port, each hearing half.
        server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=8), options=[("grpc.so_reuseport", 0)]
        )
        handlers = {
            method: grpc.unary_unary_rpc_method_handler(
                self._answer(getattr(self, f"_{method}")),
                request_deserializer=unpack,
                response_serializer=pack,
            )
            for method in METHODS
        }
        generic = grpc.method_handlers_generic_handler(SERVICE, handlers)
        server.add_generic_rpc_handlers((generic,))
        try:
            port = server.add_insecure_port(str(address))
        except RuntimeError:
            raise InputError(
                f"nothing can listen at {address}",
                expected="an address of this machine and a free port",
                mend="set KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT to such",
            ) from None
        return server, Address(address.host, port)

    def _answer(self, method: Callable[[dict[str, Any]], Any]) -> Callable[[Any, Any], Any]:
        def answer(message: dict[str, Any], context: Any) -> Any:
            import grpc

            try:
                with self._lock:
                    return method(message)
            except _RefusedError as refused:
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(refused))
            except Exception as error:
                # It is for the one who waits for the search, in its own thread.
                self._error = error
                context.abort(grpc.StatusCode.ABORTED, f"{type(error).__name__}: {error}")

        return answer

    def _join(self, message: dict[str, Any]) -> dict[str, Any]:
        if message["fingerprint"] != self.fingerprint:
            raise _RefusedError("another fingerprint")
        worker = secrets.token_hex(8)
        self._names[worker] = message["name"]
        self.leases.renew(worker)
        return {"worker": worker, "lease_s": self.leases.lease_s}

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        worker = self._known(message)
        trials = self._again(message["count"]) or self._new(message["count"])
        self.leases.lend(worker, [trial["id"] for trial in trials])
        return {"trials": trials, "over": self._over}

    def _tell(self, message: dict[str, Any]) -> dict[str, Any]:
        self._known(message)
        result = message["result"]
        self.leases.release(result["id"])
        # One that was given up may have been slow only, and another quicker: the first counts.
        first = self._undone.pop(result["id"], None) is not None
        if first:
            self.search.tell(result)
        return {"first": first}

    def _renew(self, message: dict[str, Any]) -> dict[str, Any]:
        self._known(message)
        return {}

    def _leave(self, message: dict[str, Any]) -> dict[str, Any]:
        worker = self._known(message)
        self._leave_undone(self.leases.end(worker))
        return {}

    def _known(self, message: dict[str, Any]) -> str:
        worker: str = message["worker"]
        if worker not in self._names:
            raise _RefusedError("no worker of this search")
        self.leases.renew(worker)
        return worker

    def _new(self, count: int) -> list[Trial]:
        """Asks the search for trials: at most a worker's share of what remains."""
        workers = max(self.expected, len(self.leases.workers))
        share = math.ceil(self.search.remaining / workers)
        trials = list(self.search.ask(max(1, min(count, share))))
        self._undone |= {trial["id"]: trial for trial in trials}
        return trials

    def _again(self, count: int) -> list[Trial]:
        """Takes trials that lost their worker, no more at once than they can stand.

        If one of them takes any worker with it, it must be found out which.
        """
        trials: list[Trial] = []
        while self._left and len(trials) < min(count, self._company[self._left[0]]):
            trial = self._left.popleft()
            if trial in self._undone:
                trials.append(self._undone[trial])
        return trials

    def _lose(self, worker: str, trials: Sequence[str]) -> None:
        for trial in trials if len(trials) == 1 else ():
            self._lost_alone[trial] += 1
            if self._lost_alone[trial] >= _LOST_ALONE and trial in self._undone:
                del self._undone[trial]
                times = self._lost_alone[trial]
                self.search.tell({"id": trial, "failure": f"its worker was lost {times} times"})
        self._leave_undone(trials)

    def _leave_undone(self, trials: Sequence[str]) -> None:
        for trial in trials:
            self._company[trial] = max(1, len(trials) // 4)
        self._left.extend(trial for trial in trials if trial in self._undone)


class _RefusedError(Exception):
    """What a worker asked for is none of its business."""
