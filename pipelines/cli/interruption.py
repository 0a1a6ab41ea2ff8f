"""Interruption of a command by Ctrl-C or by a request to terminate."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

RESUMABLE = ("train", "tune", "pretrain")
"""Commands with `--resume`."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_BEGUN = ("recipe.toml", "search/plan.json")
"""Files of a run folder, of which one shows that there is something to go on with."""

_received: list[int] = []


def catch_signals() -> None:
    """Turns the first Ctrl-C or request to terminate into a KeyboardInterrupt.

    What is being written is then completed or removed. A second signal ends the process
    at once. A signal that the parent process ignores stays ignored.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    raise KeyboardInterrupt


def was_interrupted() -> bool:
    """Returns whether a signal has come; libraries may turn the exception into another one."""
    return bool(_received)


def exit_status() -> int:
    """Returns the exit status of an interruption: 130 after Ctrl-C, 143 after SIGTERM."""
    return 128 + (_received[0] if _received else signal.SIGINT)


def describe_interruption(arguments: Sequence[str]) -> str:
    """Returns what the user is told: how to go on, where there is something to go on with.

    Args:
        arguments: The command and its arguments.
    """
    if not arguments or arguments[0] not in RESUMABLE:
        return "interrupted"
    folder = _value_of("--out", arguments)
    if folder is None or not any((Path(folder) / name).is_file() for name in _BEGUN):
        return "interrupted before anything was saved"
    return f"interrupted; zoo {arguments[0]} --out {folder} --resume goes on from what is saved"


def _value_of(option: str, arguments: Sequence[str]) -> str | None:
    for position, argument in enumerate(arguments):
        if argument == option:
            return next(iter(arguments[position + 1 :]), None)
        if argument.startswith(f"{option}="):
            return argument.removeprefix(f"{option}=")
    return None
