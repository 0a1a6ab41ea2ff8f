"""Settings that are measured on features before training: levels, augmentation, L2 strength."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.training.feeds import FeatureFeed
from pipelines.training.held_out_scores import HeldOutScores, Score
from tuning.linear_heads.comparison import is_better
from tuning.linear_heads.strengths import neighbors

logger = logging.getLogger(__name__)

Read = Callable[[ResolvedRecipe], FeatureFeed]
"""Maps a recipe to its features."""


def measure_settings(recipe: ResolvedRecipe, read: Read, most_levels: int = 1) -> ResolvedRecipe:
    """Decides what a recipe leaves open, and logs what was compared.

    Args:
        recipe: The recipe of a head on features.
        read: Maps it, with any `backbone.levels` up to `most_levels`, to its features; those of
            the candidate policy are computed here.
        most_levels: The levels to compare with the backbone's top alone.

    Returns:
        The recipe without open settings.

    Raises:
        TrainingError: No head could be trained.
    """
    if "backbone.levels" in recipe.to_measure and most_levels == 1:
        recipe = recipe.with_measured(levels=1)
    if not recipe.to_measure:
        return recipe
    scores = HeldOutScores(recipe, read(recipe).source)
    if not scores:
        logger.info("too few images to choose settings by: they are as usual")
        return recipe.without_measuring()
    found = scores.score(_plain(recipe), read(recipe), scores.strengths(recipe))
    if "backbone.levels" in recipe.to_measure:
        recipe, found = _choose_levels(recipe, found, scores, read, most_levels)
    if "augment.policy" in recipe.to_measure:
        recipe, found = _choose_policy(recipe, found, scores, read)
    if "penalty.l2" in recipe.to_measure:
        tried = ", ".join(f"{loss:.4f} at {l2:.2g}" for l2, loss in found.tried.items())
        logger.info(f"penalty.l2: log loss {tried}; {found.l2:.2g} is used")
        recipe = recipe.with_measured(l2=found.l2)
    return recipe


def _plain(recipe: ResolvedRecipe) -> ResolvedRecipe:
    """Returns a recipe without the policy that is yet to be compared with none."""
    is_open = "augment.policy" in recipe.to_measure
    return recipe.with_measured(policy=()) if is_open else recipe


def _choose_levels(
    recipe: ResolvedRecipe, top: Score, scores: HeldOutScores, read: Read, most: int
) -> tuple[ResolvedRecipe, Score]:
    """Chooses between the backbone's top alone and its most levels."""
    more = recipe.with_measured(levels=most)
    lower = scores.score(_plain(more), read(more), scores.strengths(recipe))
    taken = is_better(lower.losses, top.losses)
    logger.info(
        f"backbone.levels: log loss {top.losses.mean():.4f} at 1, {lower.losses.mean():.4f} at "
        f"{most}; {most if taken else 1} is used"
    )
    return (more, lower) if taken else (recipe.with_measured(levels=1), top)


def _choose_policy(
    recipe: ResolvedRecipe, plain: Score, scores: HeldOutScores, read: Read
) -> tuple[ResolvedRecipe, Score]:
    """Chooses between no augmentation and the recipe's policy."""
    strengths = neighbors(plain.l2, scores.strengths(recipe))
    augmented = scores.score(recipe, read(recipe), strengths)
    # On the same images. Views cost time: a gain that may be chance does not pay for them.
    without = plain.losses[: len(augmented.losses)]
    taken = is_better(augmented.losses, without)
    logger.info(
        f"augmentation: log loss {without.mean():.4f} without, {augmented.losses.mean():.4f} "
        f"with {recipe.augment}; {'it is used' if taken else 'none is used'}"
    )
    policy = recipe.augment.policy if taken else ()
    return recipe.with_measured(policy=policy), augmented if taken else plain
