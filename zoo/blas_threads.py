"""Products of matrices in one thread, whose bits do not depend on how many cores there are.

OpenBLAS divides a product among its threads, and rounds otherwise with another number of them.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

from zoo.private_api import set_blas_threads


class _Hold:
    """The threads of BLAS, held to one while anything asks for it.

    A library has one number of threads in the whole process. If each context put back what it
    found, of two threads whose contexts overlap the first to leave would free the other's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._found: dict[str, tuple[Any, int]] = {}

    def enter(self) -> None:
        with self._lock:
            for library in _blas_libraries("scipy.linalg" in sys.modules):
                self._found.setdefault(library.filepath, (library, library.num_threads))
                set_blas_threads(library, 1)
            self._holders += 1

    def leave(self) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders:
                return
            for library, num_threads in self._found.values():
                set_blas_threads(library, num_threads)
            self._found.clear()


_hold = _Hold()


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Returns a context in which a product of matrices takes one thread, in the whole process.

    Contexts of several threads may overlap; the threads come back when the last has ended.
    SciPy has a BLAS of its own, which is held too if `scipy.linalg` is imported by then.
    """
    _hold.enter()
    try:
        yield
    finally:
        _hold.leave()


@cache
def _blas_libraries(with_scipy: bool) -> list[Any]:
    """Returns what controls the libraries that are loaded; to find them takes milliseconds."""
    import numpy  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas").lib_controllers
