"""Extractor of the features that a recipe asks for."""

from __future__ import annotations

from pipelines.features.engines.network import FeatureNetwork
from pipelines.features.extraction import Extractor
from pipelines.recipe.resolved import ResolvedRecipe


def build_extractor(recipe: ResolvedRecipe, network: FeatureNetwork) -> Extractor:
    """Builds what computes features as a recipe says.

    Args:
        recipe: Preprocessing, augmentation, seed, engine and views.
        network: Computes the features.
    """
    return Extractor(
        network,
        recipe.input.preprocessing,
        recipe.augment,
        seed=recipe.seed,
        config=recipe.features,
    )
