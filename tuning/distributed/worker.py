"""Worker: trains what the chief of a search in another process gives it."""

from __future__ import annotations

import _thread
import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any

from tuning.distributed.protocol import (
    GONE_S,
    SERVICE,
    SIGNS_PER_LEASE,
    Address,
    pack,
    unpack,
)
from tuning.hyperparameters.trial import Result, Trial
from zoo.errors import InputError, WorkerError

JOIN_S = 600.0
"""Seconds a worker waits for its chief to listen."""


class RemoteChief:
    """A `tuning.distributed.chief.Chief` as its workers see it; a context manager.

    Inside, a thread gives signs of life. When the chief is gone, whatever the main thread
    does is interrupted: without a chief its work is for nothing.

    Args:
        address: Where the chief listens.
        fingerprint: What results depend on, by the name of each part.
        name: What the chief calls this worker.
        join_s: Seconds to wait for the chief to listen.
        gone_s: Seconds without an answer after which the chief is given up.
    """

    def __init__(
        self,
        address: Address,
        fingerprint: Mapping[str, str],
        name: str,
        *,
        join_s: float = JOIN_S,
        gone_s: float = GONE_S,
    ) -> None:
        self.address, self.fingerprint, self.name = address, fingerprint, name
        self.join_s, self.gone_s = join_s, gone_s
        self._worker = ""
        self._lost: WorkerError | None = None
        self._over = threading.Event()
        self._interrupt: Callable[[], None] = _leave_alone

    def __enter__(self) -> RemoteChief:
        """Joins the chief.

        Raises:
            InputError: The chief searches on other data, other settings or by other code.
            WorkerError: There is no chief.
        """
        import grpc

        # Else half a minute may pass between two attempts to reach it.
        options = [("grpc.max_reconnect_backoff_ms", 1000)]
        self._channel = grpc.insecure_channel(str(self.address), options=options)
        joined = self._call(
            "join", {"name": self.name, "fingerprint": dict(self.fingerprint)}, wait_s=self.join_s
        )
        self._worker = joined["worker"]
        self._thread = threading.Thread(
            target=self._give_signs, args=(joined["lease_s"] / SIGNS_PER_LEASE,), daemon=True
        )
        self._restore = contextlib.ExitStack()
        self._restore.enter_context(self._interruptible())
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._restore.close()
        if not self._lost:
            with contextlib.suppress(WorkerError):
                self._call("leave", {})
        self._channel.close()

    def ask(self) -> list[Trial]:
        """Waits for trials; none means that the search is over.

        Raises:
            WorkerError: The chief is gone.
        """
        wait_s = 0.05
        while True:
            answer = self._call("ask", {})
            if answer["trials"] or answer["over"]:
                return [Trial.from_json(trial) for trial in answer["trials"]]
            # Others must end first, or be given up.
            time.sleep(wait_s)
            wait_s = min(1.0, 1.5 * wait_s)

    def tell(self, results: Mapping[str, Result]) -> None:
        """Tells what became of trials.

        Args:
            results: By the trials' ids.

        Raises:
            WorkerError: The chief is gone.
        """
        self._call("tell", {"results": {id: result.to_json() for id, result in results.items()}})

    def work(self, train: Callable[[Sequence[Trial]], Iterator[Mapping[str, Result]]]) -> int:
        """Trains until the search is over.

        Args:
            train: Trains trials here; yields results by the trials' ids as they are finished.

        Returns:
            How many trials were trained.

        Raises:
            WorkerError: The chief is gone.
        """
        trained = 0
        while trials := self.ask():
            for results in train(trials):
                self.tell(results)
                trained += len(results)
        return trained

    def _call(self, method: str, message: Mapping[str, Any], wait_s: float = 0.0) -> Any:
        import grpc

        if self._lost:
            raise self._lost
        call = self._channel.unary_unary(
            f"/{SERVICE}/{method}", request_serializer=pack, response_deserializer=unpack
        )
        try:
            return call(
                {"worker": self._worker, **message},
                timeout=wait_s or self.gone_s,
                wait_for_ready=True,
            )
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.FAILED_PRECONDITION and method == "join":
                raise InputError(
                    f"the chief at {self.address} is of another search",
                    expected="the same in all of its processes",
                    received=error.details(),
                    mend="start every worker by the chief's own command",
                ) from None
            self._lost = self._lost or WorkerError(
                f"the chief at {self.address} is gone"
                if self._worker
                else f"there is no chief at {self.address}",
                received=" ".join((error.details() or str(error.code())).split())[:120],
                mend="start it again with --resume, then its workers",
            )
            raise self._lost from None

    def _give_signs(self, interval_s: float) -> None:
        while not self._over.wait(interval_s):
            try:
                self._call("renew", {})
            except WorkerError:
                if not self._over.is_set():
                    self._interrupt()
                return

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Lets the main thread be interrupted for want of a chief, while inside."""
        if threading.current_thread() is not threading.main_thread():
            yield  # then it is noticed at the next question
            return
        before = signal.getsignal(signal.SIGINT)
        thread = threading.get_ident()

        def interrupt(number: int, frame: Any) -> None:
            if self._lost:
                raise self._lost
            if callable(before):
                before(number, frame)

        signal.signal(signal.SIGINT, interrupt)
        # A signal of its own ends a sleep, too; Windows has none for a thread.
        self._interrupt = (
            partial(signal.pthread_kill, thread, signal.SIGINT)
            if hasattr(signal, "pthread_kill")
            else _thread.interrupt_main
        )
        try:
            yield
        finally:
            self._interrupt = _leave_alone
            signal.signal(signal.SIGINT, before)


def _leave_alone() -> None:
    """Interrupts nothing."""
