"""How many threads BLAS has, as threadpoolctl reads it from the libraries themselves."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np  # noqa: F401 - its BLAS is the one that is held
import pytest
import scipy.linalg  # noqa: F401 - so is SciPy's
from threadpoolctl import threadpool_info, threadpool_limits

from zoo.blas_threads import one_blas_thread


@pytest.fixture(autouse=True)
def _three_threads() -> Iterator[None]:
    with threadpool_limits(3, user_api="blas"):
        yield


def _threads() -> set[int]:
    """Returns the numbers of threads of the BLAS of NumPy and of SciPy."""
    found = [one for one in threadpool_info() if "scipy_openblas" in one["filepath"]]
    assert len(found) == 2
    return {one["num_threads"] for one in found}


def test_one_thread_within_and_what_was_there_before_after() -> None:
    with one_blas_thread():
        assert _threads() == {1}
        with one_blas_thread():
            assert _threads() == {1}
        assert _threads() == {1}
    assert _threads() == {3}


def test_an_error_gives_the_threads_back() -> None:
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        1 / 0  # noqa: B018
    assert _threads() == {3}


def test_first_to_leave_does_not_free_the_other() -> None:
    """Two threads overlap: the one that came first leaves first."""
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with one_blas_thread():
            entered.set()
            leave.wait()

    first = threading.Thread(target=hold)
    first.start()
    entered.wait()
    with one_blas_thread():
        leave.set()
        first.join()
        assert _threads() == {1}
    assert _threads() == {3}


def test_a_limit_of_another_thread_does_not_prevent_it() -> None:
    """It is threadpoolctl that heeds the first thread to set one, and no other."""
    seen = []

    def product() -> None:
        with one_blas_thread():
            seen.append(_threads())

    other = threading.Thread(target=product)
    other.start()
    other.join()
    assert seen == [{1}]
    assert _threads() == {3}


def test_a_library_that_is_loaded_meanwhile_is_held_from_the_next_context_on() -> None:
    program = """
import sys
from threadpoolctl import threadpool_info
from zoo.blas_threads import one_blas_thread

def threads():
    # In order: the libraries come by their addresses, which differ from process to process.
    found = [i for i in threadpool_info() if "scipy_openblas" in i["filepath"]]
    return sorted(i["num_threads"] for i in found)

with one_blas_thread():
    print(threads())
    assert "scipy.linalg" not in sys.modules
    import scipy.linalg
    print(threads())
    with one_blas_thread():
        print(threads())
    print(threads())
print(threads())
"""
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "2")
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["[1]", "[1, 2]", "[1, 1]", "[1, 1]", "[2, 2]"], done.stderr
