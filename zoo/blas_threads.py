"""Products of matrices in one thread, whose bits do not depend on how many cores there are.

OpenBLAS divides a product among its threads, and rounds otherwise with another number of them.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from functools import cache
from typing import Any


def one_blas_thread() -> AbstractContextManager[Any]:
    """Returns a context in which a product of matrices takes one thread, in the whole process.

    SciPy has a BLAS of its own, which is held too if `scipy.linalg` is imported by then.
    """
    return _controller("scipy.linalg" in sys.modules).limit(limits=1, user_api="blas")


@cache
def _controller(with_scipy: bool) -> Any:
    """Returns what controls the libraries that are loaded; to find them takes milliseconds."""
    import numpy  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
