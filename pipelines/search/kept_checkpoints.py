"""Checkpoints of trials that were stopped early, from which their promotion goes on."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.training.phases import build_phases
from tuning.hyperparameters.trial import Result, Trial

MOST_KEPT_BYTES = 4 * 2**30
"""Checkpoints that are kept, together; the earliest trials' are removed first."""


class KeptCheckpoints:
    """The checkpoint folders of trials, in one folder.

    A trial that a search algorithm stopped early may be promoted: another trial trains the same
    recipe for more epochs. It takes the folder over and goes on from there, to the bits that it
    would have come to from the start. Without the folder it trains from the start.

    Args:
        folder: The folder of them all; made when a trial trains.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, trial: Trial, recipe: ResolvedRecipe) -> Path:
        """Returns the folder of a trial, with the checkpoint it goes on from, if there is one.

        Args:
            trial: The trial.
            recipe: What it trains.
        """
        own, earlier = self.folder / trial.id, self.folder / trial.promoted_from
        if trial.promoted_from and earlier.is_dir() and not own.exists():
            if _begins_like_the_longer(recipe, trial.trained_epochs):
                os.replace(earlier, own)
            else:
                shutil.rmtree(earlier)
        return own

    def close(self, trial: Trial, result: Result) -> None:
        """Keeps the folder of a trial that may be promoted, and removes that of another.

        Args:
            trial: The trial, which has ended.
            result: How it ended.
        """
        if not trial.epochs or result.score is None:
            shutil.rmtree(self.folder / trial.id, ignore_errors=True)
            return
        kept = sorted(self.folder.iterdir(), key=lambda path: (len(path.name), path.name))
        sizes = [_count_bytes(path) for path in kept]
        while sum(sizes) > MOST_KEPT_BYTES:
            shutil.rmtree(kept.pop(0))
            sizes.pop(0)


def _begins_like_the_longer(recipe: ResolvedRecipe, epochs: int) -> bool:
    """Whether a training whose phases end after some epochs is the start of a longer one.

    A phase that was cut short must be the last that began, and a last epoch is validated even
    where it would not be in the middle.
    """
    *earlier, _ = build_phases(recipe)
    whole = all(phase.convex or phase.num_epochs <= epochs for phase in earlier)
    return whole and epochs % recipe.stopping.every == 0


def _count_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
