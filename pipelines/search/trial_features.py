"""Features of trials, computed once for all trials that share them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import combinations_with_replacement

from pipelines.features.engines.cut_network import build_cut_network
from pipelines.features.engines.network import build_feature_network
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.runtime.devices import Devices
from pipelines.sources.source import Source
from pipelines.training.feeds import FeatureFeed, build_feature_feed, build_recipe_order
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

    @property
    def extract_s(self) -> float:
        """Seconds spent on computing features so far, or on finding them."""
        return sum(feed.extractor.extract_s for feeds in self._feeds.values() for feed in feeds)

    def feeds(self, recipe: ResolvedRecipe) -> list[FeatureFeed]:
        """Returns the features of a recipe on each division, computed on first use."""
        key = _key(recipe)
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
            if parts := self._parts.get(_key(recipe)):
                return parts
        feeds: list[FeatureFeed] = []
        for division in self.divisions:
            network = build_feature_network(build_model(recipe, division, self.devices).classifier)
            order = build_recipe_order(recipe, division)
            feeds.append(build_feature_feed(recipe, division, order, network))
        return self._feeds.setdefault(_key(recipe), feeds)

    def with_engine(self, recipe: ResolvedRecipe) -> ResolvedRecipe:
        """Returns a recipe with the engine that computed its features here, if any did."""
        feeds = self._feeds.get(_key(recipe))
        return recipe.with_engine(feeds[0].extractor.engine_name) if feeds else recipe

    def _build_parts(self, recipe: ResolvedRecipe) -> None:
        """Builds the feeds of all cuts of a backbone, and of levels that lie side by side."""
        self.devices.make_deterministic(recipe.seed)
        size = recipe.input.size
        network, cuts = build_cut_network(recipe.backbone.name, size, self.num_places)
        wholes = []
        for division in self.divisions:
            order = build_recipe_order(recipe, division)
            wholes.append(build_feature_feed(recipe, division, order, network))
        self._feeds[network.digest, _key(recipe)] = wholes
        for first, last in combinations_with_replacement(range(len(cuts)), 2):
            read = {"truncate_blocks": cuts[first].truncate_blocks, "levels": last - first + 1}
            backbone = recipe.backbone.model_copy(update=read)
            part = recipe.model_copy(update={"backbone": backbone})
            channels = slice(cuts[first].start, cuts[last].stop)
            self._parts[_key(part)] = [whole.part(part, channels) for whole in wholes]


def _key(recipe: ResolvedRecipe) -> str:
    sections = recipe.model_dump(mode="json")
    # Features do not depend on the batch size of training.
    sections["input"].pop("batch_size")
    return repr([sections[name] for name in _SECTIONS])
