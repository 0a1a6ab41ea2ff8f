"""Chief: gives a search's trials to workers in other processes or on other machines.

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
from typing import TYPE_CHECKING, Any

from tuning.distributed.leases import Leases
from tuning.distributed.protocol import (
    LEASE_S,
    MAX_MESSAGE_BYTES,
    METHODS,
    SERVICE,
    Address,
    pack,
    unpack,
)
from tuning.hyperparameters.trial import Result, Trial
from zoo.errors import InputError, WorkerError

if TYPE_CHECKING:
    from tuning.hyperparameters.search import Search

PATIENCE_S = 600.0
"""Seconds a chief waits for a worker when it has none."""

_SHARES = 2
"""A worker is given a batch's trials in so many parts, should another be quicker."""

_LOST_ALONE = 2
"""A trial fails when it was its worker's only one and the worker was lost, so many times."""

_FAREWELL_S = 5.0
"""Seconds workers have to leave when the search is over."""


class Chief:
    """Serves a search to workers that join it.

    A context manager: it listens inside. Whoever reaches its port can take trials and
    tell results: there is no password.

    Args:
        search: What trials are asked of and results told to, by one thread at a time.
        fingerprint: What results depend on, by the name of each part; workers with
            another are refused.
        address: Where to listen.
        expected: How many workers are expected, among whom trials are shared out.
        lease_s: Seconds after its last sign of life that a worker is given up.
        patience_s: Seconds to wait for a worker when there is none.
        told: Called with results when the search has them.

    Raises:
        InputError: The address cannot be listened at.
    """

    def __init__(
        self,
        search: Search,
        fingerprint: Mapping[str, str],
        address: Address,
        *,
        expected: int = 1,
        lease_s: float = LEASE_S,
        patience_s: float = PATIENCE_S,
        told: Callable[[Mapping[str, Result]], None] = lambda results: None,
    ) -> None:
        self.search, self.fingerprint = search, dict(fingerprint)
        self.expected, self.patience_s, self._told = expected, patience_s, told
        self.leases = Leases(lease_s)
        self.watch: Callable[[], None] = lambda: None
        # Held by whichever thread answers a worker, and by the one that waits for the end.
        self._lock = threading.Condition()
        self._names: dict[str, str] = {}
        self._busy: set[str] = set()
        self._undone: dict[str, Trial] = {}
        self._left: deque[str] = deque()
        self._company: dict[str, int] = {}
        self._lost_alone: Counter[str] = Counter()
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

    def wait(self) -> None:
        """Waits until the search is finished and its workers have left.

        Raises:
            WorkerError: There was no worker for too long.
            ZooError: What the search itself raised.
        """
        lonely_since = time.monotonic()
        while not self.search.finished:
            self.watch()
            with self._lock:
                for worker, lost in self.leases.expire().items():
                    self._lose(worker, lost)
                # Woken at the end; else it is time to look after the workers again.
                self._lock.wait_for(lambda: self._error or self.search.finished, timeout=0.2)
                if self._error:
                    raise self._error
                alone = not self.leases.workers
            now = time.monotonic()
            lonely_since = lonely_since if alone else now
            if now - lonely_since > self.patience_s:
                raise WorkerError(
                    f"no worker for {self.patience_s:.0f} s at {self.address}",
                    mend="start workers, and go on with --resume",
                )
        with self._lock:
            self._lock.wait_for(lambda: not self.leases.workers, timeout=_FAREWELL_S)

    def lose(self, name: str) -> None:
        """Gives up a worker, which is known to be gone, before its lease runs out.

        Args:
            name: What it joined by.
        """
        with self._lock:
            for worker in [w for w in self.leases.workers if self._names[w] == name]:
                self._lose(worker, self.leases.end(worker))

    def has_lent_to(self, name: str) -> bool:
        """Returns whether a worker got as far as to be given a trial.

        Args:
            name: What it joined by.
        """
        return name in self._busy

    def _listen(self, address: Address) -> tuple[Any, Address]:
        import grpc

        options = [
            # Else two chiefs could listen at one port, each hearing half.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ]
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=8), options=options)
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
                # It is for whoever waits for the search, in its own thread.
                self._error = error
                context.abort(grpc.StatusCode.ABORTED, f"{type(error).__name__}: {error}")

        return answer

    def _join(self, message: dict[str, Any]) -> dict[str, Any]:
        parts = {**self.fingerprint, **message["fingerprint"]}
        differ = [p for p in parts if self.fingerprint.get(p) != message["fingerprint"].get(p)]
        if differ:
            raise _RefusedError("other values of " + ", ".join(differ))
        worker = secrets.token_hex(8)
        self._names[worker] = message["name"]
        self.leases.renew(worker)
        return {"worker": worker, "lease_s": self.leases.lease_s}

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        worker = self._known(message)
        trials = self._again() or self._new()
        self.leases.lend(worker, [trial.id for trial in trials])
        if trials:
            self._busy.add(self._names[worker])
        return {
            "trials": [trial.to_json() for trial in trials],
            "over": self.search.finished,
        }

    def _tell(self, message: dict[str, Any]) -> dict[str, Any]:
        self._known(message)
        self._finish({id: Result.from_json(told) for id, told in message["results"].items()})
        return {}

    def _renew(self, message: dict[str, Any]) -> dict[str, Any]:
        self._known(message)
        return {}

    def _leave(self, message: dict[str, Any]) -> dict[str, Any]:
        self._leave_undone(self.leases.end(self._known(message)))
        self._lock.notify_all()
        return {}

    def _known(self, message: dict[str, Any]) -> str:
        worker: str = message["worker"]
        if worker not in self._names:
            raise _RefusedError("no worker of this search")
        self.leases.renew(worker)
        return worker

    def _new(self) -> list[Trial]:
        """Asks the search for trials: a worker's share of what remains."""
        workers = max(self.expected, len(self.leases.workers))
        trials = self.search.ask(math.ceil(self.search.remaining / (_SHARES * workers)))
        self._undone |= {trial.id: trial for trial in trials}
        return trials

    def _again(self) -> list[Trial]:
        """Takes trials that lost their worker, fewer at once than before.

        If one of them takes any worker with it, it must be found out which.
        """
        trials: list[Trial] = []
        while self._left and len(trials) < self._company[self._left[0]]:
            id = self._left.popleft()
            if id in self._undone:
                trials.append(self._undone[id])
        return trials

    def _finish(self, results: Mapping[str, Result]) -> None:
        """Tells results on. The first counts: a worker given up may only have been slow."""
        for id in results:
            self.leases.release(id)
        first = {id: result for id, result in results.items() if self._undone.pop(id, None)}
        if first:
            self.search.tell(first)
            self._told(first)
            self._lock.notify_all()

    def _lose(self, worker: str, ids: Sequence[str]) -> None:
        if len(ids) == 1:
            self._lost_alone[ids[0]] += 1
            if (times := self._lost_alone[ids[0]]) >= _LOST_ALONE:
                self._finish({ids[0]: Result(failure=f"its worker was lost {times} times")})
        self._leave_undone(ids)

    def _leave_undone(self, ids: Sequence[str]) -> None:
        for id in ids:
            self._company[id] = max(1, len(ids) // 4)
        self._left.extend(id for id in ids if id in self._undone)


class _RefusedError(Exception):
    """What a worker asked for is none of its business."""
