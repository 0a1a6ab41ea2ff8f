"""Phases of a training job: the head first, then the backbone's top blocks with it."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.recipe.resolved import ResolvedRecipe


@dataclass(frozen=True)
class Phase:
    """One phase of training.

    Args:
        name: `head`, `all` or `fine_tune`, as in history.csv.
        first_epoch: The first epoch, from 0 through the whole job.
        last_epoch: The epoch before which the phase ends at the latest.
        blocks: How many of the backbone's top blocks train with the head.
        learning_rate: The highest rate of the schedule.
        convex: Whether a linear head is fitted to convergence; its epochs are iterations.
    """

    name: str
    first_epoch: int
    last_epoch: int
    blocks: int
    learning_rate: float
    convex: bool = False

    @property
    def num_epochs(self) -> int:
        """Epochs of the phase, at most."""
        return self.last_epoch - self.first_epoch


def build_phases(recipe: ResolvedRecipe) -> list[Phase]:
    """Returns the phases of a recipe, in order."""
    epochs, fine = recipe.train.epochs, recipe.fine_tune
    name = "head" if recipe.backbone.frozen else "all"
    rate = recipe.optimizer.learning_rate
    phases = [Phase(name, 0, epochs, 0, rate, convex=recipe.is_convex)]
    # Pairs of unfrozen blocks and the epoch from which they train.
    stages = [(fine.blocks, epochs)] if fine.blocks else []
    if fine.gradual:
        stages = [(n, epochs + (n - 1) * fine.gradual) for n in range(1, fine.blocks + 1)]
    ends = [first for _, first in stages[1:]] + [epochs + fine.epochs]
    for (blocks, first), last in zip(stages, ends, strict=False):
        phases.append(Phase("fine_tune", first, last, blocks, fine.learning_rate))
    return phases
