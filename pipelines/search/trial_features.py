"""Features of trials, computed once for all trials that share them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import combinations_with_replacement

from pipelines.features.engines.cut_network import build_cut_network
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.runtime.devices import Devices
from pipelines.sources.source import Source
from pipelines.training.feeds import FeatureFeed, build_feature_feed, build_recipe_order
from pipelines.training.level_feeds import LevelFeeds
from pipelines.training.model import build_model

# The sections that features depend on.
_SECTIONS = ("seed", "data", "augment", "backbone", "features", "input")


class TrialFeatures:
    """The features of every division of the images, by the settings they depend on.

    A division has its own: normalization and color axes are fitted to its images.

    Args:
        divisions: The images, one source for each fold.
        devices: What networks are built on.
        num_places: Places below the backbone's output that trials read features at, by
            `backbone.truncate_blocks` and `backbone.levels`: those of all come from one pass.
    """

    def __init__(
        self, divisions: Sequence[Source], devices: Devices, *, num_places: int = 0
    ) -> None:
        self.divisions, self.devices = divisions, devices
        self.num_places = num_places
        self._feeds: dict[Hashable, list[FeatureFeed]] = {}
        self._parts: dict[Hashable, list[FeatureFeed]] = {}
        self._levels: dict[Hashable, list[LevelFeeds]] = {}

    @property
    def extract_s(self) -> float:
        """Seconds spent on computing features so far, or on finding them."""
        return sum(feed.extractor.extract_s for feeds in self._feeds.values() for feed in feeds)

    def feeds(self, recipe: ResolvedRecipe) -> list[FeatureFeed]:
        """Returns the features of a recipe on each division, computed on first use."""
        key = feature_key(recipe)
        feeds = self._parts.get(key) or self._feeds.get(key)
        if feeds is None:
            feeds = self.build_feeds(recipe)
            for feed in feeds:
                for split in ("train", "val"):
                    feed.features(split)
        return feeds

    def build_feeds(self, recipe: ResolvedRecipe) -> list[FeatureFeed]:
        """Returns the feeds of a recipe on each division, which compute features when asked."""
        if self.num_places and recipe.input.normalization == "own":
            self._build_parts(recipe)
            if parts := self._parts.get(feature_key(recipe)):
                return parts
        feeds = [levels.read(recipe) for levels in self._build_levels(recipe)]
        return self._feeds.setdefault(feature_key(recipe), feeds)

    def most_levels(self, recipe: ResolvedRecipe) -> int:
        """Returns the largest `backbone.levels` whose features are computed with a recipe's."""
        return self._build_levels(recipe)[0].most

    def with_engine(self, recipe: ResolvedRecipe) -> ResolvedRecipe:
        """Returns a recipe with the engine that computed its features here, if any did."""
        feeds = self._feeds.get(feature_key(recipe))
        return recipe.with_engine(feeds[0].extractor.engine_name) if feeds else recipe

    def _build_levels(self, recipe: ResolvedRecipe) -> list[LevelFeeds]:
        key = feature_key(recipe.with_measured(levels=1))
        if key not in self._levels or self._levels[key][0].most < recipe.backbone.levels:
            self._levels[key] = [
                LevelFeeds(
                    recipe,
                    division,
                    build_recipe_order(recipe, division),
                    build_model(recipe, division, self.devices).classifier,
                )
                for division in self.divisions
            ]
        return self._levels[key]

    def _build_parts(self, recipe: ResolvedRecipe) -> None:
        """Builds the feeds of all cuts of a backbone, and of levels that lie side by side."""
        self.devices.make_deterministic(recipe.seed)
        size = recipe.input.size
        network, cuts = build_cut_network(
            recipe.backbone.name, size, self.num_places, symmetry=recipe.backbone.symmetry
        )
        wholes = []
        for division in self.divisions:
            order = build_recipe_order(recipe, division)
            wholes.append(build_feature_feed(recipe, division, order, network))
        self._feeds[network.digest, feature_key(recipe)] = wholes
        for first, last in combinations_with_replacement(range(len(cuts)), 2):
            read = {"truncate_blocks": cuts[first].truncate_blocks, "levels": last - first + 1}
            backbone = recipe.backbone.model_copy(update=read)
            part = recipe.model_copy(update={"backbone": backbone})
            channels = slice(cuts[first].start, cuts[last].stop)
            self._parts[feature_key(part)] = [whole.part(part, channels) for whole in wholes]


def feature_key(recipe: ResolvedRecipe) -> str:
    """Returns the same for recipes with the same features."""
    sections = recipe.model_dump(mode="json")
    # Features do not depend on the batch size of training.
    sections["input"].pop("batch_size")
    return repr([sections[name] for name in _SECTIONS])
