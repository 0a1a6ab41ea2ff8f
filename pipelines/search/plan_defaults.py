"""Defaults of a search that depend on its images: folds and space."""

from __future__ import annotations

import logging
from typing import Any

from pipelines.recipe.decided_folds import count_folds_of
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.search.plan import SearchPlan
from pipelines.sources.source import Source
from tuning.hyperparameters.default_space import HEAD_SPACE, build_default_space
from zoo.backbones.catalog import possible_cuts

logger = logging.getLogger(__name__)

_MAX_IMAGES = 5000
"""Images up to which features of lower places of the backbone are searched too."""

_MAX_CUT = 3
"""Blocks above the lowest of these places, at most."""


def complete_plan(plan: SearchPlan, recipe: ResolvedRecipe, source: Source) -> SearchPlan:
    """Decides what a plan leaves open, and logs it.

    Args:
        plan: The plan; settings that it has stay.
        recipe: The recipe whose settings trials change.
        source: The images.
    """
    # Other trials take as long as a run each.
    quick = recipe.features.use and not recipe.tasks and not recipe.fine_tune.blocks
    decided: dict[str, Any] = {}
    if plan.folds is None:
        decided["folds"] = _choose_folds(source) if quick and plan.space is None else 0
    if plan.space is None:
        cuts: list[int] = []
        few = len(source.train) + len(source.val) <= _MAX_IMAGES
        if quick and few and not recipe.backbone.truncate_blocks and recipe.backbone.levels == 1:
            found = possible_cuts(recipe.backbone.name, recipe.input.size)
            cuts = [cut for cut in found if cut <= _MAX_CUT]
        decided["space"] = build_default_space(cuts) if quick else HEAD_SPACE
    return plan.model_copy(update=decided)


def _choose_folds(source: Source) -> int:
    folds = count_folds_of(source)
    if folds:
        logger.info(
            f"scoring trials on {folds} folds: {len(source.val)} validation images are few; "
            "--folds 0 scores on them alone"
        )
    return folds
