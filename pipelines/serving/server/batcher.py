"""Batches of items from many requests, computed by one thread."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Waiting(Generic[Item, Result]):
    """An item that waits for its result."""

    item: Item
    result: asyncio.Future[Result]
    arrived: float


class Batcher(Generic[Item, Result]):
    """Joins items that arrive within a deadline into batches.

    Batches follow one another: those that arrive while one is computed are the next, and wait
    no longer. It belongs to the event loop that calls it, and rests while there are no items.

    Args:
        compute: Maps a batch of 1 to `max_batch` items to their results, in a thread.
        executor: Runs `compute`; with one thread, one batch at a time.
        max_batch: Items of a batch, at most.
        max_delay_s: Seconds that an item waits for others.
    """

    def __init__(
        self,
        compute: Callable[[Sequence[Item]], Sequence[Result]],
        executor: Executor,
        *,
        max_batch: int,
        max_delay_s: float,
    ) -> None:
        self._compute, self._executor = compute, executor
        self._max_batch, self._max_delay_s = max_batch, max_delay_s
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._full = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Result:
        """Returns the result of an item, once its batch is computed.

        Args:
            item: For `compute`.

        Raises:
            Exception: Whatever `compute` raised for the batch.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting[Item, Result](item, loop.create_future(), loop.time())
        self._waiting.append(waiting)
        if len(self._waiting) >= self._max_batch:
            self._full.set()
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await waiting.result

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await self._fill()
            count = min(self._max_batch, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(count)]
            # Those whose requests have ended are done: nobody reads their results.
            batch = [waiting for waiting in batch if not waiting.result.done()]
            if not batch:
                continue
            items = [waiting.item for waiting in batch]
            try:
                results = await loop.run_in_executor(self._executor, self._compute, items)
            except Exception as error:
                for waiting in batch:
                    if not waiting.result.done():
                        waiting.result.set_exception(error)
                continue
            for waiting, result in zip(batch, results, strict=True):
                if not waiting.result.done():
                    waiting.result.set_result(result)

    async def _fill(self) -> None:
        """Waits until there is a full batch, or the first item has waited long enough."""
        if len(self._waiting) >= self._max_batch:
            return
        self._full.clear()
        try:
            async with asyncio.timeout_at(self._waiting[0].arrived + self._max_delay_s):
                await self._full.wait()
        except TimeoutError:
            return
