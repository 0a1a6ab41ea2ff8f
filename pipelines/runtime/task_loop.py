"""Loop over the tasks of a job: all workers are kept busy, and what a lost one had runs again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import islice
from typing import TypeVar

from zoo.errors import WorkerError

Item = TypeVar("Item")
Result = TypeVar("Result")

ATTEMPTS = 3
"""Workers that a task may take with it."""


def run_tasks(
    items: Iterable[Item],
    submit: Callable[[Item], Future[Result]],
    after_loss: Callable[[Item, WorkerError], tuple[Result | None, Iterable[Item]]],
    *,
    most: int | None = None,
) -> Iterator[tuple[Item, Result]]:
    """Runs a task for each item; yields items and results as tasks end.

    Args:
        items: In the order in which they begin.
        submit: Starts the task of an item.
        after_loss: What becomes of an item whose worker was lost: its result, if there is one
            after all, and what is to be submitted in its place.
        most: Tasks under way; None submits all at once.

    Raises:
        Exception: What a task raised, or `after_loss`.
    """
    waiting = iter(items)
    running: dict[Future[Result], Item] = {}
    while True:
        # What was lost may have taken the room already.
        room = None if most is None else max(0, most - len(running))
        for item in islice(waiting, room):
            running[submit(item)] = item
        if not running:
            return
        ended, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in ended:
            item = running.pop(future)
            try:
                result = future.result()
            except WorkerError as error:
                replaced, again = after_loss(item, error)
                running |= {submit(part): part for part in again}
                if replaced is None:
                    continue
                result = replaced
            yield item, result
