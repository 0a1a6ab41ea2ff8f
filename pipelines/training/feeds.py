"""Feeds: the input of a phase, images or the features of a frozen backbone."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Protocol

from pipelines.features.datasets import build_feature_dataset, build_feature_stream
from pipelines.features.engines.catalog import ENGINES
from pipelines.features.engines.network import FeatureNetwork
from pipelines.features.extraction import Extractor
from pipelines.features.feature_array import FeatureArray
from pipelines.input_pipeline.datasets import TrainStream, build_eval_dataset, build_train_stream
from pipelines.input_pipeline.decoded_images import DecodedImages, decode_images
from pipelines.input_pipeline.label_tensors import compute_balanced_weights
from pipelines.input_pipeline.order import SampleOrder, build_order
from pipelines.recipe.extractor import build_extractor
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.sources.source import Examples, Source


class Feed(Protocol):
    """The input of training and of validation."""

    def train(self, first_epoch: int) -> TrainStream:
        """Returns the training stream from an epoch on."""

    @property
    def validation(self) -> Any:
        """The validation images, a finite `tf.data.Dataset`."""


class ImageFeed:
    """Images, freshly augmented in every epoch.

    Args:
        recipe: Size, augmentation, class weights.
        source: The images.
        order: Which image each position of the training stream shows.
    """

    def __init__(self, recipe: ResolvedRecipe, source: Source, order: SampleOrder) -> None:
        self.recipe, self.source, self.order = recipe, source, order

    @cached_property
    def _images(self) -> DecodedImages | None:
        config = self.recipe.input
        decoder = config.preprocessing.build_decoder(self.recipe.augment.smallest_view)
        return decode_images(self.source.train, decoder, config.cache_mib)

    def train(self, first_epoch: int) -> TrainStream:
        """Returns the training stream from an epoch on."""
        recipe = self.recipe
        return build_train_stream(
            self.source.train,
            self.order,
            recipe.input,
            recipe.augment,
            tasks=self.source.tasks,
            class_weights=class_weights_of(recipe, self.source),
            first_epoch=first_epoch,
            decoded=self._images,
        )

    @cached_property
    def validation(self) -> Any:
        """The validation images, kept in memory after the first pass if they fit."""
        config = self.recipe.input
        return build_eval_dataset(
            self.source.val,
            config.preprocessing,
            config.batch_size,
            self.source.tasks,
            cache_mib=config.cache_mib,
        )


class FeatureFeed:
    """Features of a frozen backbone, computed on first use.

    Args:
        recipe: Views, pooling, class weights.
        source: The images.
        order: Which image each position of the training stream shows.
        extractor: Computes features and keeps them.
        whole: A feed that computes the features of this one: of more images or channels; None
            computes them here.
        channels: Which of its channels; None for all.
        pooling: What is read of each image; None reads what the recipe's head does.
    """

    def __init__(
        self,
        recipe: ResolvedRecipe,
        source: Source,
        order: SampleOrder,
        extractor: Extractor,
        *,
        whole: FeatureFeed | None = None,
        channels: slice | None = None,
        pooling: str | None = None,
    ) -> None:
        self.recipe, self.source, self.order = recipe, source, order
        self.extractor = extractor
        self._whole, self._channels, self._pooling = whole, channels, pooling
        self._features: dict[tuple[str, int], FeatureArray] = {}

    def part(self, recipe: ResolvedRecipe, channels: slice) -> FeatureFeed:
        """Returns a feed with a part of the channels, which shares these features.

        Args:
            recipe: Its recipe.
            channels: The part.
        """
        return FeatureFeed(
            recipe, self.source, self.order, self.extractor, whole=self, channels=channels
        )

    def of(self, source: Source) -> FeatureFeed:
        """Returns a feed of the first images of each split, which shares these features.

        Args:
            source: These images, without some at the end of a split.
        """
        return FeatureFeed(
            self.recipe, source, self.order, self.extractor, whole=self, channels=self._channels
        )

    def extract(self, examples: Examples, num_views: int) -> FeatureArray:
        """Returns the features of any images, in the plain view and in augmented ones.

        Args:
            examples: The images.
            num_views: Augmented views per image.
        """
        return self._cut(self.extractor.extract(examples, num_views))

    def features(self, split: str) -> FeatureArray:
        """Returns the features of a split: all views of training images, plain ones of others."""
        return self._read(split, self.recipe.num_views if split == "train" else 0)

    def _read(self, split: str, num_views: int) -> FeatureArray:
        if self._whole:
            features = self._whole._read(split, num_views)
            return self._cut(features.first(len(self.source.splits[split])))
        if (split, num_views) not in self._features:
            self._features[split, num_views] = self.extract(self.source.splits[split], num_views)
        return self._features[split, num_views]

    def _cut(self, features: FeatureArray) -> FeatureArray:
        return features.part(self._channels) if self._channels else features

    def train(self, first_epoch: int) -> TrainStream:
        """Returns the training stream from an epoch on."""
        recipe = self.recipe
        return build_feature_stream(
            self.features("train"),
            self.source.train,
            self._pooling or recipe.head.pooling,
            self.order,
            tasks=self.source.tasks,
            class_weights=class_weights_of(recipe, self.source),
            first_epoch=first_epoch,
        )

    @property
    def validation(self) -> Any:
        """The features of the validation images."""
        return self.dataset("val")

    def dataset(self, split: str, batch_size: int | None = None) -> Any:
        """Returns the plain features and labels of a split, in order.

        Args:
            split: The split.
            batch_size: Images of a batch; None takes the recipe's.
        """
        recipe = self.recipe
        return build_feature_dataset(
            self.features(split),
            self.source.splits[split],
            self._pooling or recipe.head.pooling,
            batch_size or recipe.input.batch_size,
            self.source.tasks,
        )


def build_feature_feed(
    recipe: ResolvedRecipe, source: Source, order: SampleOrder, network: FeatureNetwork
) -> FeatureFeed:
    """Builds the feed of a head that trains on features.

    Args:
        recipe: Engine, views and augmentation.
        source: The images.
        order: Which image each position of the training stream shows.
        network: Computes the features.

    Raises:
        RecipeError: The engine is not installed.
    """
    if not recipe.features.engine_is_open:
        ENGINES[recipe.features.engine].check_installed()
    return FeatureFeed(recipe, source, order, build_extractor(recipe, network))


def build_recipe_order(
    recipe: ResolvedRecipe, source: Source, num_replicas: int = 1
) -> SampleOrder:
    """Builds the order in which training sees its images.

    Args:
        recipe: Seed, batch size, oversampling and optimizer.
        source: The images.
        num_replicas: Devices that share a batch.
    """
    return build_order(
        source.train.labels,
        recipe.input.batch_size,
        seed=recipe.seed,
        oversample=recipe.train.oversample,
        whole_passes=recipe.optimizer.row.full_batch,
        num_replicas=num_replicas,
    )


def class_weights_of(recipe: ResolvedRecipe, source: Source) -> dict[str, Any]:
    """Returns the weight of each class, float32 [C], by the name of each task that balances."""
    return {
        task.name: compute_balanced_weights(source.train, task)
        for task in source.tasks
        if recipe.task_configs[task.name].class_weights == "balanced"
    }
