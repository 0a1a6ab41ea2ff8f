"""Loop over tasks: every item has its result, workers are kept busy, and losses are replaced."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from pipelines.runtime.executor import InThisProcess
from pipelines.runtime.processes import Processes
from pipelines.runtime.task_loop import run_tasks
from tests.support import tasks
from zoo.errors import InputError, WorkerError


def _never(item: int, error: WorkerError) -> tuple[None, list[int]]:
    raise AssertionError(item)


@pytest.mark.parametrize("most", [None, 1, 3, 100])
def test_every_item_has_its_result(most: int | None) -> None:
    with Processes(2) as executor:
        found = dict(
            run_tasks(range(7), lambda n: executor.submit(tasks.square, n), _never, most=most)
        )
    assert found == {n: n**2 for n in range(7)}
    assert not list(run_tasks([], lambda n: executor.submit(tasks.square, n), _never, most=most))


@pytest.mark.parametrize("most", [1, 2, 4])
def test_as_many_are_under_way_as_wanted(most: int) -> None:
    under_way = 0
    seen = []

    def submit(number: int) -> Future[int]:
        nonlocal under_way
        under_way += 1
        seen.append(under_way)
        return InThisProcess().submit(tasks.square, number)

    for _ in run_tasks(range(6), submit, _never, most=most):
        under_way -= 1
    assert seen[:most] == list(range(1, most + 1))
    assert (len(seen), max(seen), under_way) == (6, most, 0)


@pytest.mark.parametrize("parts", [1, 3])
def test_lost_items_run_again_in_the_room_that_there_is(parts: int) -> None:
    under_way, seen = 0, []

    def submit(number: int) -> Future[int]:
        nonlocal under_way
        under_way += 1
        seen.append(under_way)
        if number != 3:
            return InThisProcess().submit(tasks.square, number)
        future: Future[int] = Future()
        future.set_exception(WorkerError("the process ended"))
        return future

    def after_loss(number: int, error: WorkerError) -> tuple[None, range]:
        nonlocal under_way
        under_way -= 1
        return None, range(100, 100 + parts)

    found = []
    for number, _ in run_tasks(range(20), submit, after_loss, most=2):
        under_way -= 1
        found.append(number)
    assert sorted(found) == [*range(3), *range(4, 20), *range(100, 100 + parts)]
    # A lost item may become several; nothing else begins until there is room again.
    assert max(seen) <= 1 + parts


def test_lost_item_is_replaced_until_it_has_a_result() -> None:
    lost: list[str] = []

    def submit(item: str) -> Future[int]:
        if "x" not in item:
            return InThisProcess().submit(len, item)
        future: Future[int] = Future()
        future.set_exception(WorkerError("the process ended"))
        return future

    def after_loss(item: str, error: WorkerError) -> tuple[int | None, list[str]]:
        assert str(error) == "the process ended"
        lost.append(item)
        return (-1, []) if len(item) == 1 else (None, list(item))

    found = list(run_tasks(["ab", "cxd", "e"], submit, after_loss))
    assert sorted(found) == [("ab", 2), ("c", 1), ("d", 1), ("e", 1), ("x", -1)]
    assert lost == ["cxd", "x"]


def test_what_a_task_raises_ends_the_loop() -> None:
    executor = InThisProcess()
    with pytest.raises(InputError, match="the value is wrong"):
        list(run_tasks(["this"], lambda item: executor.submit(tasks.refuse, item), _never_text))


def _never_text(item: str, error: WorkerError) -> tuple[None, list[str]]:
    raise AssertionError(item)
