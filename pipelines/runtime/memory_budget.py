"""Memory budget: threads that need much memory wait for each other."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator


class MemoryBudget:
    """Bytes that the threads of a process may hold at a time, handed out in order.

    A thread that needs more than the whole budget waits until nobody else holds any, and
    then runs alone: nothing is refused, and nobody waits forever.

    Args:
        num_bytes: The budget, > 0.

    Example:
        >>> budget = MemoryBudget(2**20)
        >>> with budget.reserve(2**30):  # alone
        ...     budget.reserved == 2**30
        True
    """

    def __init__(self, num_bytes: int) -> None:
        self.num_bytes = num_bytes
        self.reserved = 0
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def reserve(self, num_bytes: int) -> Iterator[None]:
        """Holds bytes of the budget while the body runs; waits until there are enough.

        Args:
            num_bytes: Bytes, ≥ 0.
        """
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            # In the order of arrival: else small requests could overtake a large one for ever.
            self._changed.wait_for(
                lambda: (
                    self._waiting[0] is ticket
                    and (not self.reserved or self.reserved + num_bytes <= self.num_bytes)
                )
            )
            self._waiting.popleft()
            self.reserved += num_bytes
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self.reserved -= num_bytes
                self._changed.notify_all()
