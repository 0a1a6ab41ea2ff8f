"""Feeds of fine-tuning: the maps that enter the trainable blocks, computed once."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from typing import Any, Literal

from pipelines.features.engines.cost import count_multiply_adds
from pipelines.features.engines.network import MAPS, FeatureNetwork, build_map_network
from pipelines.features.extraction import Extractor
from pipelines.input_pipeline.order import SampleOrder
from pipelines.recipe.extractor import build_extractor
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.sources.source import Source
from pipelines.training.feeds import FeatureFeed
from pipelines.training.model import TransferModel
from pipelines.training.phases import Phase
from zoo.errors import RecipeError
from zoo.files import cache_folder
from zoo.models.cut import CutBackbone

logger = logging.getLogger(__name__)

_MIB, _GIB = 2**20, 2**30


class MapFeeds:
    """The parts of a model that fine-tuning trains on maps, and the maps.

    Args:
        recipe: Engine, views, augmentation and how maps are kept.
        source: The images.
        order: Which image each position of the training stream shows.
        model: The model whose backbone is cut.
        phases: All phases of the job.

    Raises:
        RecipeError: `fine_tune.maps` asks for maps, and nothing is below the unfrozen blocks.
    """

    def __init__(
        self,
        recipe: ResolvedRecipe,
        source: Source,
        order: SampleOrder,
        model: TransferModel,
        phases: Sequence[Phase],
    ) -> None:
        self.recipe, self.source, self.order, self.model = recipe, source, order, model
        self._phases = [phase for phase in phases if phase.blocks]
        self._extractors: list[Extractor] = []
        backbone = recipe.backbone.name
        self._cuts = {
            phase.blocks: CutBackbone(model.classifier, backbone, phase.blocks)
            for phase in self._phases
        }
        possible = all(cut.exists for cut in self._cuts.values())
        if not possible and recipe.fine_tune.maps in ("float16", "float32"):
            raise RecipeError(
                f"{backbone} has nothing below its top {recipe.fine_tune.blocks} blocks",
                expected="fine_tune.maps = 'none', or fewer fine_tune.blocks",
                received=repr(recipe.fine_tune.maps),
                mend="--set fine_tune.maps=none",
            )
        self._possible = possible and bool(self._cuts)

    @property
    def extract_s(self) -> float:
        """Seconds spent on computing maps, or on finding them."""
        return sum(extractor.extract_s for extractor in self._extractors)

    def decide(self) -> Literal["float16", "float32", "none"]:
        """Returns how maps are kept, `none` where every epoch takes images, and says why.

        It goes by the recipe, the images and the disk, and times nothing.
        """
        chosen = self.recipe.fine_tune.maps
        if chosen != "auto":
            return chosen
        reason = self._reason_against("float16")
        if not reason:
            return "float16"
        logger.info(f"fine-tuning takes images in every epoch: {reason}")
        return "none"

    def open(self, phase: Phase) -> tuple[Any, FeatureFeed]:
        """Returns what a phase trains, a Keras model from maps to logits, and its input.

        Args:
            phase: A phase that unfreezes blocks.
        """
        cut = self._cuts[phase.blocks]
        network = self._network(cut)
        extractor = build_extractor(self.recipe, network)
        self._extractors.append(extractor)
        feed = FeatureFeed(self.recipe, self.source, self.order, extractor, pooling=MAPS)
        self._announce(phase, cut, network)
        part = cut.build_upper_model(
            tasks=self.model.source.tasks, standardize=self.model.standardize
        )
        return part, feed

    def _network(self, cut: CutBackbone) -> FeatureNetwork:
        dtype = self.recipe.fine_tune.maps
        return build_map_network(*cut.lower_maps(), "float32" if dtype == "float32" else "float16")

    def _announce(self, phase: Phase, cut: CutBackbone, network: FeatureNetwork) -> None:
        shapes = " and ".join("×".join(map(str, shape)) for shape in cut.shapes)
        below = count_multiply_adds(network.model)
        share = below / count_multiply_adds(self.model.classifier)
        size = self._num_views * self._num_bytes(cut, network.dtype) / _MIB
        logger.info(
            f"fine-tuning the top {phase.blocks} of the backbone on {self._num_views} maps of "
            f"{shapes}, {size:.3g} MiB: {share:.0%} of the network runs once for each, instead "
            f"of in {phase.num_epochs} epochs"
        )

    @property
    def _num_views(self) -> int:
        """Maps of all images in all views."""
        return len(self.source.train) * (1 + self.recipe.num_views) + len(self.source.val)

    def _num_bytes(self, cut: CutBackbone, dtype: str) -> int:
        return cut.num_values * (2 if dtype == "float16" else 4)

    def _reason_against(self, dtype: str) -> str:
        """Returns why images are taken; empty where maps fit and save more than they cost."""
        if not self._possible:
            return "nothing below the unfrozen blocks can be computed once"
        views, epochs = 1 + self.recipe.num_views, min(p.num_epochs for p in self._phases)
        if views > epochs:
            return f"maps would need {views} views, and there are {epochs} epochs"
        needed = sum(self._num_bytes(cut, dtype) for cut in self._cuts.values()) * self._num_views
        allowed = self.recipe.features.cache_gib * _GIB
        if needed > allowed:
            return (
                f"maps would take {needed / _GIB:.1f} GiB of the {allowed / _GIB:g} of "
                "features.cache_gib"
            )
        free = shutil.disk_usage(cache_folder()).free
        if needed > free:
            return f"maps would take {needed / _GIB:.1f} GiB, and {free / _GIB:.1f} are free"
        return ""
