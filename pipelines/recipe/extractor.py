"""Extractor of the features that a recipe asks for."""

from __future__ import annotations

from pipelines.features.engines.network import FeatureNetwork
from pipelines.features.extraction import Extractor
from pipelines.features.placed import PlacedFeatures
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.sources.places.place import is_place


def build_extractor(recipe: ResolvedRecipe, network: FeatureNetwork) -> Extractor:
    """Builds what computes features as a recipe says.

    Args:
        recipe: Preprocessing, augmentation, seed, engine and views, and the data set, which may
            have features already.
        network: Computes the features.

    Raises:
        DataError: The features of the data set cannot be read.
    """
    source = recipe.data.source  # empty for images that are given
    return Extractor(
        network,
        recipe.input.preprocessing,
        recipe.augment,
        seed=recipe.seed,
        config=recipe.features,
        placed=PlacedFeatures(source) if source and is_place(source) else None,
    )
