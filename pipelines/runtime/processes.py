"""Processes of this machine that run tasks side by side."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from pipelines.runtime.devices import num_cores
from pipelines.runtime.executor import RENEWED_AFTER, Executor, Result, worker_environment
from pipelines.runtime.worker_process import WorkerProcess
from zoo.errors import WorkerError


class Processes(Executor):
    """Runs tasks in processes of this machine, each with its share of the cores.

    They talk by pipes: nothing listens. None outlives this process, whatever ends it. Each has
    its cores for itself, whatever a task asks for.

    Args:
        count: Number of processes, ≥ 1; each starts with its first task.
        log_level: The lowest level of records that they log.
        renewed_after: Tasks of a process, ≥ 1.
    """

    def __init__(
        self, count: int, log_level: int = logging.INFO, renewed_after: int = RENEWED_AFTER
    ) -> None:
        self.num_slots = count
        environment = worker_environment(max(1, num_cores() // count) if count > 1 else None)
        self._workers = [WorkerProcess(environment, log_level, renewed_after) for _ in range(count)]
        self._idle: queue.LifoQueue[WorkerProcess] = queue.LifoQueue()
        for worker in self._workers:
            self._idle.put(worker)
        # A thread waits for each process.
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="worker")
        self._closed = False

    def warm_up(self, function: Callable[[], object]) -> None:
        """See `Executor.warm_up`."""
        for _ in self._workers:
            self._submit(function, (), 1, 0)

    def _submit(
        self,
        function: Callable[..., Result],
        args: tuple[Any, ...],
        num_cpus: int,
        num_gpus: int,
    ) -> Future[Result]:
        return self._threads.submit(self._run, function, args)

    def close(self) -> None:
        """Ends the processes, in the middle of their tasks if need be."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        while self._idle.qsize() < len(self._workers):
            # One may be about to start.
            for worker in self._workers:
                worker.kill()
            time.sleep(0.02)
        self._threads.shutdown()
        for worker in self._workers:
            worker.close()

    def _run(self, function: Callable[..., Result], args: tuple[Any, ...]) -> Result:
        worker = self._idle.get()
        try:
            if self._closed:
                raise WorkerError("the processes have ended")
            result: Result = worker.run(function, args)
            return result
        finally:
            self._idle.put(worker)
