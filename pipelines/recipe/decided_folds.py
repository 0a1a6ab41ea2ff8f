"""Number of folds of a linear head, decided by the images before anything is trained."""

from __future__ import annotations

import logging

from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.sources.source import Source, join_examples
from pipelines.sources.splitting.groups import group_related
from tuning.folds import count_folds

logger = logging.getLogger(__name__)

_MANY = 1000
"""Validation images from which on one split is enough: to score by, and for what a head gains."""


def decide_folds(recipe: ResolvedRecipe, source: Source) -> ResolvedRecipe:
    """Decides `train.folds` where it is `auto`; see `pipelines.recipe.sections.TrainConfig`.

    Args:
        recipe: The recipe.
        source: The images, their validation images set aside.

    Returns:
        The recipe with a number of folds, 0 for none.
    """
    if recipe.train.folds != "auto":
        return recipe
    if source.own_val or not source.tasks[0].bare:
        return recipe.with_folds(0)
    count = count_folds_of(source)
    if count:
        num_images = len(source.train) + len(source.val)
        logger.info(
            f"{count} folds: all {num_images} images are trained on, and each is validated by a "
            "head that has not seen it; train.folds=0 puts images aside instead"
        )
    return recipe.with_folds(count)


def count_folds_of(source: Source) -> int:
    """Returns how many folds all images but the test images are divided into.

    Args:
        source: The images, their validation images set aside.

    Returns:
        5, or as many as the rarest class has images or groups; 0 where it has fewer than two, and
        where the validation images are enough by themselves.
    """
    if len(source.val) >= _MANY:
        return 0
    both = join_examples([source.train, source.val])
    return count_folds(both.labels, len(source.class_names), group_related(both))
