"""Specifications of heads that train side by side, from recipes."""

from __future__ import annotations

from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.sources.source import Source
from pipelines.training.feeds import class_weights_of
from tuning.batched_heads.head_spec import HeadSpec


def build_head_spec(recipe: ResolvedRecipe, source: Source, *, stop_after: int = 0) -> HeadSpec:
    """Returns the head that a recipe trains on features.

    Args:
        recipe: A recipe with one task.
        source: The images, which balanced class weights are computed from.
        stop_after: Epochs after which training ends before its schedule does; 0 for all.
    """
    ((name, task),) = recipe.task_configs.items()
    class_weights = class_weights_of(recipe, source).get(name, ())
    return HeadSpec(
        head=recipe.head,
        optimizer=recipe.optimizer,
        schedule=recipe.schedule,
        penalty=recipe.penalty,
        stopping=recipe.stopping,
        seed=recipe.seed,
        epochs=recipe.train.epochs,
        stop_after=stop_after,
        loss=task.chosen_loss,
        label_smoothing=task.label_smoothing,
        focal_gamma=task.focal_gamma,
        class_weights=tuple(float(weight) for weight in class_weights),
    )
