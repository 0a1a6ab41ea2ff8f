"""Defaults of a search that depend on its images: folds and space."""

from __future__ import annotations

import logging
from typing import Any

from pipelines.recipe.decided_folds import count_folds_of
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.search.plan import SearchPlan
from pipelines.sources.source import Source
from tuning.hyperparameters.default_space import HEAD_SPACE, add_fine_tuning, build_default_space
from zoo.backbones.catalog import count_blocks, possible_cuts

logger = logging.getLogger(__name__)

_MAX_IMAGES = 5000
"""Images up to which features of lower places of the backbone are searched too."""

_MAX_CUT = 3
"""Blocks above the lowest of these places, at most."""

_MAX_BLOCKS = 3
"""Blocks that trials fine-tune, at most."""


def complete_plan(plan: SearchPlan, recipe: ResolvedRecipe, source: Source) -> SearchPlan:
    """Decides what a plan leaves open, and logs it.

    Args:
        plan: The plan; settings that it has stay.
        recipe: The recipe whose settings trials change.
        source: The images.
    """
    # Other trials take as long as a run each.
    on_features = recipe.features.use and not recipe.tasks
    quick = on_features and not recipe.fine_tune.blocks and not plan.fine_tune
    decided: dict[str, Any] = {}
    if plan.folds is None:
        decided["folds"] = _choose_folds(source) if quick and plan.space is None else 0
    if plan.space is None:
        backbone, size = recipe.backbone, recipe.input.size
        cuts: list[int] = []
        few = len(source.train) + len(source.val) <= _MAX_IMAGES
        if quick and few and not backbone.truncate_blocks and backbone.levels == 1:
            cuts = [cut for cut in possible_cuts(backbone.name, size) if cut <= _MAX_CUT]
        space = build_default_space(cuts) if quick else HEAD_SPACE
        if plan.fine_tune:
            # The lowest block stays, or nothing is left to compute once.
            below = max(1, count_blocks(backbone.name, size) - 1)
            space = build_default_space() if on_features else HEAD_SPACE
            space = add_fine_tuning(space, min(_MAX_BLOCKS, below))
        decided["space"] = space
    return plan.model_copy(update=decided)


def _choose_folds(source: Source) -> int:
    folds = count_folds_of(source)
    if folds:
        logger.info(
            f"scoring trials on {folds} folds: {len(source.val)} validation images are few; "
            "--folds 0 scores on them alone"
        )
    return folds
