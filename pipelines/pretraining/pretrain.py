"""Pretraining: a backbone from random weights, for other tasks to start from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pipelines.pretraining.autoencoder import pretrain_autoencoder
from pipelines.pretraining.rbm import pretrain_rbm
from pipelines.pretraining.supervised import pretrain_supervised
from pipelines.recipe.pretraining import METHODS
from pipelines.recipe.recipe import Recipe
from pipelines.recipe.settings import RecipeSettings
from pipelines.runtime.isolation import isolated
from pipelines.serving.run import Run
from zoo.backbones.catalog import BACKBONES, resolve
from zoo.errors import RecipeError


@isolated()
def pretrain(
    data: str | Path | None,
    recipe: RecipeSettings | None = None,
    *,
    out: str | Path,
    method: str | None = None,
    resume: bool = False,
) -> Run:
    """Trains a whole backbone and writes a file that other runs can start from.

    The run folder gets `pretrained.npz`, for `--backbone FILE`, and `card.md` beside the
    files of every run. A supervised run is a run of `train`, and `zoo evaluate` measures its
    file; without labels there are no classes to predict.

    Args:
        data: DATA as the command line takes it; None takes the recipe's.
        recipe: What to do, by its `pretraining.method`; None takes the method's preset. Its
            backbone may be the file of an earlier run, whose training then continues.
        out: The run folder, new unless `resume`.
        method: A row of METHODS; None takes the recipe's, or `supervised`.
        resume: Whether an interrupted run is continued. It ends with the weights it would
            have had without the interruption, bit for bit.

    Returns:
        The run; `run.pretrained_file` is the file written. Without labels it has no model.

    Raises:
        RecipeError: The recipe freezes or truncates the backbone, chooses another
            normalization than the backbone's own, or does not suit the method.
        ZooError: Whatever `train` raises.
    """
    if recipe is None:
        recipe = Recipe.for_data(data, preset=METHODS[method or "supervised"].preset)
    recipe = Recipe.of(recipe)
    if method:
        recipe = recipe.override({"pretraining.method": METHODS[method].name})
    row = METHODS[recipe.pretraining.method]
    if recipe.tasks:
        raise RecipeError(
            f"pretraining learns from {'classes' if row.labeled else 'images'} alone",
            expected="no [tasks]",
            received=", ".join(recipe.tasks),
            mend="leave them out; `zoo train` learns several tasks",
        )
    if recipe.teacher.run and not row.labeled:
        raise RecipeError(
            f"pretraining by {row.name} learns from images alone",
            expected="no teacher.run",
            received=recipe.teacher.run,
            mend="leave it out, or --method supervised",
        )
    backbone, own = recipe.resolve().backbone, recipe.input.normalization == "own"
    if resolve(backbone.name)[0].name not in BACKBONES:
        raise RecipeError(
            "pretraining writes files of the rows of `zoo list backbones`",
            expected="backbone.name = one of them",
            received=backbone.name,
            mend="choose one, or fine-tune this one: zoo train DATA --set fine_tune.blocks=1",
        )
    whole = backbone.truncate_blocks == 0 and backbone.levels == 1 and backbone.symmetry == "none"
    if backbone.frozen or not whole or not own:
        # The file has no place for a part of a backbone, nor for another normalization.
        raise RecipeError(
            "pretraining trains the whole backbone, with its own normalization",
            expected="backbone.frozen = false, backbone.truncate_blocks = 0, "
            "backbone.levels = 1, backbone.symmetry = 'none' and input.normalization = 'own'",
            received=f"backbone.frozen = {recipe.backbone.frozen}, "
            f"backbone.truncate_blocks = {backbone.truncate_blocks}, "
            f"backbone.levels = {backbone.levels}, "
            f"backbone.symmetry = {backbone.symmetry!r}, "
            f"input.normalization = {recipe.input.normalization!r}",
            mend="start from the preset: leave --recipe out",
        )
    _JOBS[row.name](data, recipe, Path(out), resume=resume)
    return Run(Path(out))


_JOBS: Mapping[str, Callable[..., Path]] = {
    "supervised": pretrain_supervised,
    "autoencoder": pretrain_autoencoder,
    "rbm": pretrain_rbm,
}
"""The job of each row of METHODS."""
