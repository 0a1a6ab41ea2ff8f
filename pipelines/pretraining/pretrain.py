"""Pretrain: a backbone from scratch, for others to start from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pipelines.pretraining.autoencoder import pretrain_autoencoder
from pipelines.pretraining.rbm import pretrain_rbm
from pipelines.pretraining.supervised import pretrain_supervised
from pipelines.recipe.pretraining import METHODS
from pipelines.recipe.recipe import Recipe
from zoo.errors import RecipeError


def pretrain(
    data: str | Path, recipe: Recipe | None = None, *, out: str | Path, resume: bool = False
) -> Path:
    """Trains a whole backbone and writes what others can start from.

    Beside what else the run holds come `pretrained.npz`, which `--backbone FILE` starts
    from, and `card.md`. With labels the run is that of `train`, and `zoo evaluate`
    measures the file; without them there is nothing to answer.

    Args:
        data: DATA as the command line takes it; empty takes the recipe's.
        recipe: What to do, by `pretraining.method`; left out, the preset `pretrain`. Its
            backbone may be a file of an earlier run, whose training this one continues.
        out: The run's directory, new unless `resume`.
        resume: Go on where an interrupted run stood. It ends with the very weights it
            would have had.

    Returns:
        The file written.

    Raises:
        RecipeError: The recipe freezes the backbone, has it normalize pixels otherwise
            than by itself, or does not fit the method.
        ZooError: Whatever `train` raises.
    """
    recipe = Recipe.preset("pretrain") if recipe is None else recipe
    method = METHODS[recipe.pretraining.method]
    if recipe.tasks:
        raise RecipeError(
            f"pretraining learns {'the classes' if method.labeled else 'the images'} alone",
            expected="no [tasks]",
            received=", ".join(recipe.tasks),
            mend="leave them out; `zoo train` learns several tasks",
        )
    backbone, own = recipe.completed().backbone, recipe.input.normalization == "own"
    if backbone.frozen or backbone.truncate_blocks or not own:
        # The file says nothing of parts, nor of other pixels.
        raise RecipeError(
            "pretraining trains the whole backbone, on pixels normalized its own way",
            expected="backbone.frozen = false, backbone.truncate_blocks = 0 and "
            "input.normalization = 'own'",
            received=f"backbone.frozen = {recipe.backbone.frozen}, "
            f"backbone.truncate_blocks = {backbone.truncate_blocks}, "
            f"input.normalization = {recipe.input.normalization!r}",
            mend="start from the preset: leave --recipe out",
        )
    return _JOBS[method.name](data, recipe, Path(out), resume=resume)


_JOBS: Mapping[str, Callable[..., Path]] = {
    "supervised": pretrain_supervised,
    "autoencoder": pretrain_autoencoder,
    "rbm": pretrain_rbm,
}
"""The job of each row of METHODS."""
