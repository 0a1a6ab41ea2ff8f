"""The lower levels of a backbone whose features are computed along with those of its top."""

from __future__ import annotations

from pipelines.recipe.resolved import ResolvedRecipe

MAX_BLOCKS = 3
"""Blocks above the lowest of these levels, at most."""

_MAX_IMAGES = 5000
"""Training and validation images, at most: features of more would fill the cache."""


def reads_lower_levels(recipe: ResolvedRecipe, num_images: int) -> bool:
    """Whether features of lower levels are computed too, in whatever levels the head reads.

    Args:
        recipe: Backbone, tasks and phases.
        num_images: Training and validation images.
    """
    own = recipe.input.normalization == "own" and not recipe.tasks
    frozen = recipe.backbone.frozen and not recipe.fine_tune.blocks
    return own and frozen and num_images <= _MAX_IMAGES
