"""Isolation of jobs: the process of a caller is afterwards as it was before.

A job seeds random generators, sets the dtype policy and asks for deterministic operations,
all of which belong to the whole process. `isolated` notes them and puts them back.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pipelines.runtime.cache import usable_cache
from pipelines.runtime.stderr import suppress_stderr
from zoo.blas_threads import one_blas_thread
from zoo.errors import InputError
from zoo.private_api import (
    disable_op_determinism,
    is_op_determinism_enabled,
    is_tensorflow_started,
    save_keras_state,
    save_tensorflow_seed,
)

logger = logging.getLogger(__name__)

BACKENDS = ("tensorflow", "jax")
"""Backends of Keras that jobs run on."""

_VARIABLE = "KERAS_BACKEND"


@dataclass
class _Isolation:
    """What the process was like before a job.

    Args:
        restorers: Put parts of it back, the last first.
        has_tensorflow: Whether TensorFlow and Keras are among these parts.
    """

    restorers: list[Callable[[], None]] = field(default_factory=list)
    has_tensorflow: bool = False


_forked: list[int] = []
"""The process number, if this process was forked from one in which TensorFlow had started."""


def _note_fork() -> None:
    if "tensorflow" in sys.modules and is_tensorflow_started():
        _forked[:] = [os.getpid()]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)

_lock = threading.RLock()
_current: list[_Isolation] = []
"""The isolation of the job that runs in this process; none or one."""


@contextlib.contextmanager
def isolated() -> Iterator[None]:
    """Runs a job, and leaves the process as it was, whether the job succeeds or fails.

    What comes back: the generators of Python, NumPy, TensorFlow and Keras; Keras' dtype
    policy, float type, image format and names of layers; deterministic operations;
    the threads of OpenCV and of BLAS; environment variables. What does not is listed in
    docs/concepts/process.md. Jobs of one process run one after another, since they share
    all of this; a job within a job shares its isolation. Also a decorator.

    Imports neither TensorFlow nor Keras: `start_keras` does.
    """
    if not _lock.acquire(blocking=False):
        logger.info("waiting for another job of this process")
        _lock.acquire()
    try:
        if _current:
            yield
            return
        isolation = _Isolation()
        _current.append(isolation)
        try:
            _note_process(isolation)
            with usable_cache():
                yield
        finally:
            _current.clear()
            for restore in reversed(isolation.restorers):
                restore()
    finally:
        _lock.release()


def start_keras() -> None:
    """Imports TensorFlow and Keras, with the settings that jobs need.

    Within `isolated`, Keras is told channels_last, float32 and its own epsilon, whatever
    keras.json says.

    Raises:
        InputError: Keras runs on a backend that jobs cannot use, or this process was forked
            from one in which TensorFlow had started.
    """
    if _forked:
        raise InputError(
            "this process was forked from one in which TensorFlow had started, and would wait "
            "for its threads for ever",
            expected="a process that starts TensorFlow itself",
            mend='spawn it: multiprocessing.get_context("spawn")',
        )
    with suppress_stderr():
        import keras
        import tensorflow  # noqa: F401
    backend = keras.backend.backend()
    if backend not in BACKENDS:
        raise InputError(
            f"Keras runs on its backend {backend}, which {_origin_of_backend()} names",
            expected="tensorflow",
            received=backend,
            mend="set KERAS_BACKEND=tensorflow before Keras is imported",
        )
    if not _current or _current[0].has_tensorflow:
        return
    _note_keras(_current[0])
    if backend != "tensorflow":
        logger.info(f"Keras runs on its backend {backend}, which {_origin_of_backend()} names")
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)


def _note_process(isolation: _Isolation) -> None:
    environment = dict(os.environ)
    isolation.restorers.append(lambda: _restore_environment(environment))
    import cv2
    import numpy as np

    restorers = isolation.restorers
    python, numpy, threads = random.getstate(), np.random.get_state(), cv2.getNumThreads()
    restorers.append(lambda: random.setstate(python))
    restorers.append(lambda: np.random.set_state(numpy))
    restorers.append(lambda: cv2.setNumThreads(threads))
    cv2.setNumThreads(1)
    held = contextlib.ExitStack()
    held.enter_context(one_blas_thread())
    restorers.append(held.close)
    if "keras" not in sys.modules:
        # It outranks keras.json, and is read when Keras is imported.
        os.environ.setdefault(_VARIABLE, BACKENDS[0])
    elif "tensorflow" in sys.modules:
        start_keras()


def _restore_environment(before: dict[str, str]) -> None:
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def _note_keras(isolation: _Isolation) -> None:
    import keras

    isolation.has_tensorflow = True
    config = keras.config
    floatx, epsilon, image_format = (
        config.floatx(),
        config.epsilon(),
        config.image_data_format(),
    )
    deterministic = is_op_determinism_enabled()
    isolation.restorers += [
        save_tensorflow_seed(),
        save_keras_state(),
        lambda: config.set_floatx(floatx),
        lambda: config.set_epsilon(epsilon),
        lambda: config.set_image_data_format(image_format),
    ]
    if not deterministic:
        isolation.restorers.append(disable_op_determinism)


def _origin_of_backend() -> str:
    """Returns what may have chosen Keras' backend: the variable, or the file."""
    if os.environ.get(_VARIABLE):
        return _VARIABLE
    folder = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")
    return os.path.join(folder, "keras.json")
