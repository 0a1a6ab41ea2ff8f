"""Features of a backbone at its top and at lower levels, all of them from one pass."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from pipelines.features.engines.cut_network import build_level_network
from pipelines.features.engines.network import build_feature_network
from pipelines.input_pipeline.order import SampleOrder
from pipelines.recipe.levels import MAX_BLOCKS, reads_lower_levels
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.sources.source import Source
from pipelines.training.feeds import FeatureFeed, build_feature_feed


class LevelFeeds:
    """The feeds of a backbone's features, by the levels that a head reads.

    Which features are computed together depends on the images and on the backbone, and not on
    `backbone.levels`: a resumed run reads those that it had before its levels were chosen.

    Args:
        recipe: Backbone, engine, views and augmentation.
        source: The images.
        order: Which image each position of the training stream shows.
        classifier: The model whose backbone computes the features, in the recipe's levels.

    Attributes:
        most: The largest number of levels that can be read.
    """

    def __init__(
        self, recipe: ResolvedRecipe, source: Source, order: SampleOrder, classifier: Any
    ) -> None:
        widths: tuple[int, ...] = ()
        if reads_lower_levels(recipe, len(source.train) + len(source.val)):
            network, widths = build_level_network(
                classifier, recipe.backbone.name, MAX_BLOCKS, recipe.backbone.symmetry
            )
        else:
            network = build_feature_network(classifier)
        self._whole = build_feature_feed(recipe, source, order, network)
        self._ends = tuple(accumulate(widths))
        self.most = len(widths) or 1

    def read(self, recipe: ResolvedRecipe) -> FeatureFeed:
        """Returns the feed of a recipe.

        Args:
            recipe: That of the feeds, with any `backbone.levels` from 1 to `most`.
        """
        levels = recipe.backbone.levels
        if not self._ends or levels == self.most:
            return self._whole
        return self._whole.part(recipe, slice(0, self._ends[levels - 1]))
