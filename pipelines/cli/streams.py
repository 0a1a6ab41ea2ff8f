"""The standard streams of the command line: open, and tolerant of any name."""

from __future__ import annotations

import io
import os
import sys


def prepare_streams() -> None:
    """Opens the standard streams that the parent process closed, and sets their encoding.

    A closed descriptor would be taken by the next file that is opened, and what libraries
    write to standard error would end up in it.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free descriptor is taken, and the lower ones are open.
            os.open(os.devnull, os.O_RDONLY if mode == "r" else os.O_WRONLY)
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A path may hold bytes, and a class characters, that the terminal's encoding lacks.
            stream.reconfigure(errors="backslashreplace")


def silence_stdout() -> None:
    """Drops what is still to be written to standard output, whose reader is gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
