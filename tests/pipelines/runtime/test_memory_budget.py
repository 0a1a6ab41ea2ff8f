"""Memory budget: what is held at a time stays below it, in the order of arrival."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.runtime.memory_budget import MemoryBudget

DEADLINE_S = 20


def test_small_reservations_share_the_budget_and_large_ones_are_alone() -> None:
    budget, peak, together = MemoryBudget(100), [], []

    def hold(size: int) -> None:
        with budget.reserve(size):
            peak.append(budget.reserved)
            if size > 100:
                together.append(budget.reserved - size)
            time.sleep(0.002)

    sizes = [30, 40, 500, 20, 100, 7, 250] * 8
    with ThreadPoolExecutor(max_workers=8) as pool:
        for done in [pool.submit(hold, size) for size in sizes]:
            done.result(timeout=DEADLINE_S)
    assert budget.reserved == 0
    assert max(held for held in peak if held not in (500, 250)) <= 100
    assert together == [0] * 16


def test_small_reservations_do_not_overtake_a_large_one() -> None:
    budget, order = MemoryBudget(100), []
    first = budget.reserve(60)
    first.__enter__()

    def hold(size: int) -> None:
        with budget.reserve(size):
            order.append(size)

    threads = []
    for size in (90, 10):
        threads.append(threading.Thread(target=hold, args=(size,)))
        threads[-1].start()
        deadline = time.monotonic() + DEADLINE_S
        while len(budget._waiting) < len(threads) and time.monotonic() < deadline:
            time.sleep(0.001)
    assert order == []  # 10 bytes are free, but 90 came first
    first.__exit__(None, None, None)
    for thread in threads:
        thread.join(DEADLINE_S)
    assert order == [90, 10]


def test_failed_body_gives_its_bytes_back() -> None:
    budget = MemoryBudget(100)
    with pytest.raises(ValueError, match="damaged"), budget.reserve(100):
        raise ValueError("damaged")
    assert budget.reserved == 0
