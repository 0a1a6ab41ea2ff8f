"""Garbage that refers to itself, as tf2onnx leaves it, is collected during a conversion."""

from __future__ import annotations

import gc
import threading
import time
import weakref

from zoo.export.onnx_graph import _collecting_garbage


class Copy:
    """A graph that refers to itself."""

    def __init__(self) -> None:
        self.itself = self


def test_cycles_are_freed_although_python_would_not_collect_yet() -> None:
    threads, frozen = threading.active_count(), gc.get_freeze_count()
    gc.disable()
    try:
        with _collecting_garbage():
            copy = weakref.ref(Copy())
            deadline = time.monotonic() + 30
            while copy() is not None and time.monotonic() < deadline:
                time.sleep(0.05)
            assert copy() is None
    finally:
        gc.enable()
    assert (threading.active_count(), gc.get_freeze_count()) == (threads, frozen)
