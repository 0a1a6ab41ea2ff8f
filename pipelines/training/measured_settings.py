"""Settings that are measured on features before training.

These are levels, augmentation with its number of views, and the strength of L2.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.training.feeds import FeatureFeed
from pipelines.training.held_out_scores import MEASURED_VIEWS, HeldOutScores, Score
from tuning.linear_heads.comparison import is_better
from tuning.linear_heads.strengths import neighbors

logger = logging.getLogger(__name__)

MOST_VIEWS = 8
"""Augmented views that `features.views = "auto"` takes, at most."""

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
    if "features.views" in recipe.to_measure:
        recipe, found = _choose_views(recipe, found, scores, read)
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


def _choose_views(
    recipe: ResolvedRecipe, found: Score, scores: HeldOutScores, read: Read
) -> tuple[ResolvedRecipe, Score]:
    """Chooses the number of augmented views, doubled as long as that pays.

    Args:
        recipe: With its policy decided.
        found: Its score with MEASURED_VIEWS of them.
        scores: The images to score on.
        read: See `measure_settings`.
    """
    if not recipe.augment.policy:
        return recipe.with_measured(views=recipe.features.views), found
    strengths = neighbors(found.l2, scores.strengths(recipe))
    tried: dict[int, Score] = {}
    views = 1
    while views <= MOST_VIEWS:
        # The strengths around the best one, as the others had; more views may take a weaker one.
        is_known = views == MEASURED_VIEWS
        more = found if is_known else scores.score(recipe, read(recipe), strengths, views)
        tried[views] = more
        if views > 1 and not is_better(more.losses, tried[views // 2].losses):
            break
        views *= 2
    taken = views // 2
    told = ", ".join(f"{score.losses.mean():.4f} with {n}" for n, score in tried.items())
    logger.info(f"features.views: log loss {told}; {taken} {'is' if taken == 1 else 'are'} used")
    return recipe.with_measured(views=taken), tried[taken]


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
