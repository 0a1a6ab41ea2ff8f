"""Ray cluster that runs tasks on its machines; needs the extra `cluster`.

Ray runs functions and nothing else here: no actors, no objects that outlive a task, no
retries of its own. By default Ray sends statistics of usage to its makers, and connects to
an address without asking whether everybody may.

Reference: https://docs.ray.io/en/latest/ray-security/token-auth.html
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from pipelines.runtime.executor import (
    RENEWED_AFTER,
    Executor,
    Result,
    worker_environment,
)
from pipelines.runtime.ray_private_api import find_head, keep_stdout_clean, send_token
from pipelines.runtime.stderr import suppress_stderr
from pipelines.runtime.worker_program import run_task
from zoo.errors import ClusterError, InputError, WorkerError

logger = logging.getLogger(__name__)

PROBE_S = 20.0
"""Seconds within which a cluster answers."""

_PROBED = "/ray.rpc.InternalKVGcsService/InternalKVGet"
"""A method of the cluster's head that reads, and which every part of Ray calls."""


class RayCluster(Executor):
    """Runs tasks on a cluster of Ray that is there already.

    A worker runs several tasks, one after another, so that TensorFlow need not start for
    each; one that has a GPU runs a single task, since TensorFlow keeps the GPU's memory. A task
    that no machine has room for waits until one joins.

    Args:
        address: HOST:PORT of the cluster's head, or `auto` for the cluster that this machine
            is part of. This machine has to be one of the cluster's.
        insecure: Whether a cluster is used that runs what anybody sends.
        renewed_after: Tasks of a worker, ≥ 1.

    Raises:
        ClusterError: The cluster cannot be reached, or refuses the token.
        InputError: Ray is not installed, there is no token, or the cluster asks for none.
    """

    def __init__(
        self, address: str, *, insecure: bool = False, renewed_after: int = RENEWED_AFTER
    ) -> None:
        self._ray = ray = _import_ray()
        # The caller may have connected, and then also disconnects.
        self._connected = not ray.is_initialized()
        head = _find_head(address)
        closed = _check_token(head, insecure=insecure)
        if self._connected:
            if closed:
                send_token()
            _connect(ray, head)
        keep_stdout_clean()
        resources = ray.cluster_resources()
        self.num_slots = max(1, int(resources.get("CPU", 0)))
        self.num_gpus = int(resources.get("GPU", 0))
        self._run = ray.remote(max_retries=0, max_calls=renewed_after)(_run)
        self._run_once = ray.remote(max_retries=0, max_calls=1)(_run)
        gpus = f" and {self.num_gpus} GPUs" if self.num_gpus else ""
        logger.info(f"cluster at {head}: {resources.get('CPU', 0):g} cores{gpus}")

    def _submit(
        self,
        function: Callable[..., Result],
        args: tuple[Any, ...],
        num_cpus: int,
        num_gpus: int,
    ) -> Future[Result]:
        remote = self._run_once if num_gpus else self._run
        reference = remote.options(num_cpus=num_cpus, num_gpus=num_gpus).remote(
            function, args, worker_environment(num_cpus)
        )
        future: Future[Result] = Future()
        reference.future().add_done_callback(lambda done: self._settle(done, future))
        return future

    def close(self) -> None:
        """Leaves the cluster, which ends the tasks that run."""
        if self._connected:
            self._ray.shutdown()

    def _settle(self, done: Future[Any], future: Future[Result]) -> None:
        """Gives a future what became of its task."""
        failed = done.exception()
        if failed is None:
            outcome = done.result()
            if outcome.error is None:
                future.set_result(outcome.result)
            else:
                future.set_exception(outcome.error)
            return
        reason = " ".join(str(failed).split())
        if isinstance(failed, self._ray.exceptions.RayTaskError):
            # What a task raises is an outcome; this never came to the task.
            error: Exception = ClusterError(
                "a machine of the cluster cannot run a task",
                received=reason[-200:],
                mend="install the same version of transfer-zoo on all of them",
            )
        else:
            error = WorkerError(
                "the process or the machine that runs a task was lost", received=reason[:200]
            )
        future.set_exception(error)


def _run(function: Callable[..., Any], args: Sequence[Any], environment: Mapping[str, str]) -> Any:
    """Runs a task in a worker of Ray."""
    os.environ.update(environment)
    return run_task(function, args)


def _check_token(head: str, *, insecure: bool) -> bool:
    """Checks that a cluster asks for a token, and takes the one that there is.

    Ray itself would try for long, and say so on standard error all the while.

    Returns:
        Whether it asks for one, which only an insecure one does not.

    Raises:
        ClusterError: It refuses the token, or does not answer.
        InputError: It asks for none, or there is none.
    """
    if admits(head):
        if insecure:
            return False
        raise InputError(
            f"the cluster at {head} runs what anybody sends who reaches it",
            expected="one that asks for a token",
            received="one without authentication",
            mend="start it with RAY_AUTH_MODE=token, see docs/guides/cluster.md, or add --insecure",
        )
    mend = "copy that of the cluster's head, see docs/guides/cluster.md"
    token = _read_token()
    if not token:
        raise InputError(
            f"there is no token for the cluster at {head}",
            expected="RAY_AUTH_TOKEN, a file that RAY_AUTH_TOKEN_PATH names, or ~/.ray/auth_token",
            mend=mend,
        )
    if not admits(head, token):
        raise ClusterError(f"the cluster at {head} refuses the token", mend=mend)
    return True


def _read_token() -> str:
    """Returns the token where Ray would look for it; empty if there is none."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token
    file = os.environ.get("RAY_AUTH_TOKEN_PATH") or os.path.expanduser("~/.ray/auth_token")
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def admits(address: str, token: str = "") -> bool:
    """Returns whether a cluster answers those who have a token, or none.

    Args:
        address: HOST:PORT of its head.
        token: The token; empty for none.

    Raises:
        ClusterError: It does not answer at all.
    """
    import grpc

    error = _probe(address, [("authorization", f"Bearer {token}")] if token else None)
    if error is None:
        return True
    if error.code() is grpc.StatusCode.UNAUTHENTICATED:
        return False
    if error.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE):
        raise ClusterError(
            f"the cluster at {address} does not answer",
            received=str(error.details())[:200],
            mend="see whether its head runs there: `ray status`",
        )
    return True


def _probe(address: str, metadata: list[tuple[str, str]] | None) -> Any:
    """Calls a cluster's head; returns the error of gRPC, None where it answers."""
    import grpc

    # gRPC prints every handshake that fails.
    with suppress_stderr(), _open_channel(address) as channel:
        call = channel.unary_unary(_PROBED, request_serializer=bytes, response_deserializer=bytes)
        try:
            call(b"", timeout=PROBE_S, metadata=metadata, wait_for_ready=True)
        except grpc.RpcError as error:
            return error
    return None


def _open_channel(address: str) -> Any:
    """Returns a channel to the head: encrypted as Ray's own are, by the variables it reads."""
    import grpc

    if os.environ.get("RAY_USE_TLS", "0").lower() not in ("1", "true"):
        return grpc.insecure_channel(address)
    authority, key, certificate = (
        Path(os.environ[f"RAY_TLS_{name}"]).read_bytes()
        for name in ("CA_CERT", "SERVER_KEY", "SERVER_CERT")
    )
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(authority, key, certificate))


def _import_ray() -> Any:
    """Imports Ray.

    Raises:
        InputError: It is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise InputError(
            "a cluster needs a package that is not installed",
            expected="ray",
            received=str(error),
            mend="pip install 'transfer-zoo[cluster]', or use --cluster local",
        ) from None


def _find_head(address: str) -> str:
    """Returns HOST:PORT of a cluster's head.

    Raises:
        ClusterError: No cluster is found.
    """
    try:
        # It warns of a machine that is cut off from the internet.
        with suppress_stderr():
            head = find_head(address)
    except (OSError, ValueError) as error:
        raise ClusterError(f"{address} is not known here", received=str(error)) from None
    if head is None or head == "auto":
        raise ClusterError(
            "no cluster is running on this machine",
            mend="start one, or join one, by `ray start`: see docs/guides/cluster.md",
        )
    return head


def _connect(ray: Any, address: str) -> None:
    """Connects this process to a cluster.

    Raises:
        ClusterError: It cannot be reached.
    """
    try:
        with suppress_stderr(), _keeping_handler():
            ray.init(address=address, configure_logging=False, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"this machine is none of the cluster's at {address}",
            received=" ".join(str(error).split())[:200],
            mend=f"join it by `ray start --address {address}`, then use --cluster auto",
        ) from None


@contextlib.contextmanager
def _keeping_handler() -> Iterator[None]:
    """Puts back what SIGTERM does, which `ray.init` changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
