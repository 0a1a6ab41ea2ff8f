"""Check that a run goes on by the recipe that it was started with."""

from __future__ import annotations

from pathlib import Path

from pipelines.recipe.resolved import ResolvedRecipe
from zoo.errors import RunError


def check_same_recipe(
    run: Path,
    recipe: ResolvedRecipe,
    started_with: ResolvedRecipe,
    *,
    longer: bool,
    finished: bool,
) -> None:
    """Checks that two recipes are the same but for what may change.

    Args:
        run: The run's folder, for the message.
        recipe: What is asked for now.
        started_with: The run's own.
        longer: Whether it may have other epochs.
        finished: Whether the run has finished.

    Raises:
        RunError: Another setting differs.
    """
    changed = recipe.differences(started_with)
    if longer:
        del changed["train.epochs"]
    if longer or not finished:
        changed.pop("data.source", None)  # the checkpoint knows the images' content
    if changed:
        values = ", ".join(f"{p} = {now!r}, not {was!r}" for p, (now, was) in changed.items())
        raise RunError(
            f"{run} was started with another recipe",
            expected="the same settings",
            received=values,
            mend="leave these settings out to go on with its own, or choose another --out",
        )
