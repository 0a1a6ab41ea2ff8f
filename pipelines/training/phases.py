"""Phases: the stretches of a training job, from the head alone to the backbone's top."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.recipe.recipe import Recipe


@dataclass(frozen=True)
class Phase:
    """One stretch of training.

    Args:
        name: `head`, `all` or `fine_tune`, as history.csv calls it.
        first_epoch: Its first epoch, counted from 0 through the whole job.
        last_epoch: The epoch before which it ends at the latest.
        blocks: How many of the backbone's top blocks train with the head.
        learning_rate: The optimizer's, at its highest.
    """

    name: str
    first_epoch: int
    last_epoch: int
    blocks: int
    learning_rate: float


def build_phases(recipe: Recipe) -> list[Phase]:
    """Returns the phases of a completed recipe, in order."""
    rate, epochs, fine = recipe.optimizer.learning_rate, recipe.train.epochs, recipe.fine_tune
    if rate is None:
        raise ValueError("The recipe has to be completed first.")
    phases = [Phase("head" if recipe.backbone.frozen else "all", 0, epochs, 0, rate)]
    # How many blocks are unfrozen, and from which epoch on.
    stages = [(fine.blocks, epochs)] if fine.blocks else []
    if fine.gradual:
        stages = [(n, epochs + (n - 1) * fine.gradual) for n in range(1, fine.blocks + 1)]
    ends = [first for _, first in stages[1:]] + [epochs + fine.epochs]
    for (blocks, first), last in zip(stages, ends, strict=False):
        phases.append(Phase("fine_tune", first, last, blocks, fine.learning_rate))
    return phases
