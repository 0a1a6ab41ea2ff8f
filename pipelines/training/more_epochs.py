"""More epochs for a run, finished or not: whether they are those it would have had at first."""

from __future__ import annotations

from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.storage.checkpoint import Checkpoint
from pipelines.storage.run_folder import RunFolder
from tuning.optimization.schedules import SCHEDULES
from zoo.errors import RunError


def count_added_epochs(folder: RunFolder, recipe: ResolvedRecipe) -> int:
    """Returns how many epochs a recipe adds to `train.epochs` of the run in a folder.

    A longer run goes on from the checkpoint, with what it measured before: the policy and the
    penalty stay. It ends with the weights that it would have had if it had been started with
    so many epochs, or is refused.

    Args:
        folder: The folder, claimed.
        recipe: What is asked for now.

    Returns:
        0 where the run has not begun, or has no fewer epochs.

    Raises:
        RunError: It would have gone another way from the beginning.
    """
    if not folder.recipe_file.is_file():
        return 0
    before = folder.recipe
    added = recipe.train.epochs - before.train.epochs
    if added <= 0:
        return 0
    if reason := _reason_against(before, Checkpoint.load(folder.checkpoint_file)):
        raise RunError(
            f"{folder.path} cannot go on from {before.train.epochs} to {recipe.train.epochs} "
            f"epochs: {reason}",
            expected="epochs that the longer run would have had, too",
            mend="choose another --out to train it from the beginning",
        )
    return added


def _reason_against(before: ResolvedRecipe, checkpoint: Checkpoint | None) -> str:
    """Returns why a longer run would have had other epochs so far; empty where it would not."""
    epochs, schedule = before.train.epochs, before.schedule.name
    if before.pretraining.method != "supervised":
        return "pretraining without labels ends each layer after its epochs"
    if checkpoint is None:
        return ""
    num_done = checkpoint.epoch + 1
    if SCHEDULES[schedule].by_length:
        return f"schedule.name = {schedule!r} is made for the length of the training"
    if checkpoint.phase or num_done > epochs:
        return f"fine-tuning has begun after epoch {epochs}"
    if before.is_convex and num_done == epochs:
        return "a linear head is fitted as a whole, and has not converged"
    every = before.stopping.every
    if num_done == epochs and epochs % every and not before.trains_on_validation:
        return f"epoch {epochs} was validated as its last one, beside stopping.every = {every}"
    return ""
