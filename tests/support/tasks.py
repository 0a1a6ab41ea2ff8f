"""Tasks to test executors with: importable by name, as every task is."""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path

from zoo.errors import InputError

logger = logging.getLogger("pipelines.tests")


def square(number: int) -> int:
    return number**2


def process_id() -> int:
    return os.getpid()


def variable(name: str) -> str | None:
    return os.environ.get(name)


def log(message: str) -> None:
    logger.warning(message)
    logger.info(f"less than {message}")


def refuse(value: str) -> None:
    raise InputError("the value is wrong", expected="another", received=value)


def print_noise() -> str:
    print("noise")
    os.system("echo more noise")
    return "result"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(marker: Path) -> int:
    """Kills its process unless a file shows that it did already."""
    if not marker.exists():
        marker.touch()
        die()
    return os.getpid()


def wait_for(file: Path, started: Path | None = None) -> int:
    """Waits until a file is there; says by another one that it began."""
    if started is not None:
        started.write_text(str(os.getpid()))
    while not file.exists():
        time.sleep(0.01)
    return os.getpid()


def leave_mark() -> None:
    Path(os.environ["ZOO_TEST_MARKS"], str(os.getpid())).touch()


def fail() -> None:
    raise RuntimeError("not now")
