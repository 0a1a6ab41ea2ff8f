"""Batches: who is joined, who waits, and what a failure means."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.serving.server.batcher import Batcher

MAX_BATCH = 4
LONG_S = 60.0


class Squares:
    """Squares numbers, once it may, and notes the batches; a negative number fails."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.allowed = threading.Event()

    def compute(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        self.allowed.wait()
        if min(numbers) < 0:
            raise ValueError("a negative number")
        return [number**2 for number in numbers]


def test_full_batch_does_not_wait_and_the_next_follows_at_once() -> None:
    squares = Squares()

    async def run(pool: ThreadPoolExecutor) -> list[int]:
        batcher = Batcher(squares.compute, pool, max_batch=MAX_BATCH, max_delay_s=LONG_S)
        asked = [asyncio.ensure_future(batcher.submit(number)) for number in range(2 * MAX_BATCH)]
        await asyncio.sleep(0)
        squares.allowed.set()
        return list(await asyncio.gather(*asked))

    with ThreadPoolExecutor(1) as pool:
        assert asyncio.run(run(pool)) == [number**2 for number in range(2 * MAX_BATCH)]
    assert squares.batches == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_lone_item_is_computed_after_its_deadline() -> None:
    squares = Squares()
    squares.allowed.set()

    async def run(pool: ThreadPoolExecutor) -> tuple[int, int]:
        batcher = Batcher(squares.compute, pool, max_batch=MAX_BATCH, max_delay_s=0.001)
        return await batcher.submit(3), await batcher.submit(5)

    with ThreadPoolExecutor(1) as pool:
        assert asyncio.run(run(pool)) == (9, 25)
    assert squares.batches == [[3], [5]]


def test_failure_reaches_those_of_its_batch_alone() -> None:
    squares = Squares()
    squares.allowed.set()

    async def run(pool: ThreadPoolExecutor) -> list[int | BaseException]:
        batcher = Batcher(squares.compute, pool, max_batch=2, max_delay_s=LONG_S)
        return await asyncio.gather(*map(batcher.submit, [1, -1, 2, 3]), return_exceptions=True)

    with ThreadPoolExecutor(1) as pool:
        first, second, *others = asyncio.run(run(pool))
    assert first is second
    with pytest.raises(ValueError, match="a negative number"):
        raise first  # type: ignore[misc]
    assert others == [4, 9]


def test_item_whose_request_has_ended_is_not_computed() -> None:
    squares = Squares()

    async def run(pool: ThreadPoolExecutor) -> list[int]:
        batcher = Batcher(squares.compute, pool, max_batch=2, max_delay_s=LONG_S)
        asked = [asyncio.ensure_future(batcher.submit(number)) for number in range(6)]
        while not squares.batches:
            await asyncio.sleep(0.001)
        asked[3].cancel()
        squares.allowed.set()
        kept = [future for number, future in enumerate(asked) if number != 3]
        return list(await asyncio.gather(*kept))

    with ThreadPoolExecutor(1) as pool:
        assert asyncio.run(run(pool)) == [0, 1, 4, 16, 25]
    assert squares.batches == [[0, 1], [2], [4, 5]]
