"""Copies of a run folder as a kill right after one of its checkpoints leaves it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.storage.checkpoint import Checkpoint
from pipelines.storage.run_folder import RunFolder


@contextlib.contextmanager
def copying_checkpoints(to: Path) -> Iterator[None]:
    """Copies the folder of each job that runs meanwhile to `to`/N when its history has N rows.

    The copy has every file that the job has on the disk at that moment, its claim and its
    unfinished ones among them; a killed process leaves no others. One training thus stands for
    a kill after each of its checkpoints.
    """
    save = RunFolder.save_checkpoint

    def save_and_copy(run: RunFolder, checkpoint: Checkpoint) -> None:
        save(run, checkpoint)
        shutil.copytree(run.path, to / str(len(checkpoint.history)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "save_checkpoint", save_and_copy)
        yield
