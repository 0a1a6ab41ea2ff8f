"""Executor: what runs the tasks of a job, whatever it is."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

from pipelines.runtime.devices import num_cores

Result = TypeVar("Result")

RENEWED_AFTER = 8
"""Tasks of a process, unless a job says otherwise: each that trains may leave memory that
TensorFlow does not give back."""

_TENSORFLOW_THREADS, _OTHER_THREADS = "TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"


class Executor(ABC):
    """Runs tasks: in this process, in others of this machine, or on a cluster.

    A task is a function that can be imported by its name, called with plain data and paths.
    It keeps nothing that a result depends on: it may run anywhere, and again where a process
    or a machine is lost. All state is in the caller and in files.

    A context manager, which closes it.

    Attributes:
        num_slots: Tasks that run at a time, where each needs one core; ≥ 1.
        num_gpus: GPUs for tasks.
    """

    num_slots: int = 1
    num_gpus: int = 0

    def submit(
        self,
        function: Callable[..., Result],
        *args: Any,
        num_cpus: int = 1,
        num_gpus: int = 0,
    ) -> Future[Result]:
        """Starts a task as soon as there is room for it.

        Args:
            function: What runs.
            *args: Its arguments.
            num_cpus: Cores that it needs.
            num_gpus: GPUs that it needs.

        Returns:
            Its result, or the exception that it raised; a `WorkerError` where the process or
            the machine that ran it was lost.
        """
        return self._submit(function, args, num_cpus, num_gpus)

    def warm_up(self, function: Callable[[], object]) -> None:  # noqa: B027  most have none
        """Has processes that wait for their first task start, and run a function, meanwhile.

        Args:
            function: What takes time once in each process, such as to load a library. What it
                raises is left to the task that meets it again.
        """

    @abstractmethod
    def _submit(
        self,
        function: Callable[..., Result],
        args: tuple[Any, ...],
        num_cpus: int,
        num_gpus: int,
    ) -> Future[Result]:
        """See `submit`."""

    @abstractmethod
    def close(self) -> None:
        """Ends the tasks that run, and what runs them; may be called again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class InThisProcess(Executor):
    """Runs each task in this process, before `submit` returns."""

    def _submit(
        self,
        function: Callable[..., Result],
        args: tuple[Any, ...],
        num_cpus: int,
        num_gpus: int,
    ) -> Future[Result]:
        future: Future[Result] = Future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        """Does nothing: there is nothing left to end."""


def worker_environment(num_threads: int | None = None) -> dict[str, str]:
    """Returns the variables that a worker needs beside its own environment.

    Args:
        num_threads: Threads that libraries start in it; None leaves that to them. TensorFlow
            starts two unless this process has one: with a single thread it divides products
            otherwise, and their last bits are not those of any larger number.
    """
    # keras.json may have named another backend than the one that is used here.
    keras = sys.modules.get("keras")
    backend = keras.backend.backend() if keras else os.environ.get("KERAS_BACKEND")
    variables = {"KERAS_BACKEND": backend} if backend else {}
    if num_threads is not None:
        variables[_OTHER_THREADS] = str(num_threads)
        given = os.environ.get(_TENSORFLOW_THREADS, "")
        own = int(given) if given.isdecimal() and int(given) else num_cores()
        variables[_TENSORFLOW_THREADS] = str(min(own, max(2, num_threads)))
        variables["TF_NUM_INTEROP_THREADS"] = "1"
    return variables
