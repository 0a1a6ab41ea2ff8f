"""Maps in threads that keep the order and hold a few items at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], num_threads: int
) -> Iterator[Result]:
    """Yields the results of a function in the order of its arguments.

    Unlike `ThreadPoolExecutor.map`, which takes all items at once, it takes the next one when a
    result has been used: memory does not grow with the number of items.

    Args:
        function: Called in the threads.
        items: Taken in the thread of the caller.
        num_threads: Calls at a time; as many more items wait, so that no thread is idle.
    """
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(num_threads) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) >= 2 * num_threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
