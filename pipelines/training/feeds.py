"""Feeds: what a phase of training gets, images or the features of a frozen backbone."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Protocol

from pipelines.features.datasets import build_feature_dataset, build_feature_stream
from pipelines.features.extraction import Extractor
from pipelines.features.feature_array import FeatureArray
from pipelines.input_pipeline.datasets import TrainStream, build_eval_dataset, build_train_stream
from pipelines.input_pipeline.decoded_images import DecodedImages, decode_images
from pipelines.input_pipeline.label_tensors import compute_balanced_weights
from pipelines.input_pipeline.order import SampleOrder, build_order
from pipelines.recipe.recipe import Recipe
from pipelines.sources.source import Source
from tuning.optimization.optimizers import OPTIMIZERS


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
        recipe: Completed.
        source: The images.
        num_replicas: Devices that share a batch.
    """

    def __init__(self, recipe: Recipe, source: Source, num_replicas: int) -> None:
        self.recipe, self.source, self.num_replicas = recipe, source, num_replicas

    @cached_property
    def _images(self) -> DecodedImages | None:
        return decode_images(self.source.train, self.recipe.input.cache_mib)

    def train(self, first_epoch: int) -> TrainStream:
        """Returns the training stream from an epoch on."""
        recipe = self.recipe
        return build_train_stream(
            self.source.train,
            order_of(recipe, self.source, self.num_replicas),
            recipe.input,
            recipe.augment,
            tasks=self.source.tasks,
            class_weights=class_weights_of(recipe, self.source),
            first_epoch=first_epoch,
            decoded=self._images,
        )

    @cached_property
    def validation(self) -> Any:
        """The validation images, kept in memory once they were fitted."""
        config = self.recipe.input
        return build_eval_dataset(
            self.source.val,
            config.preprocessing,
            config.batch_size,
            self.source.tasks,
            cache_mib=config.cache_mib,
        )


class FeatureFeed:
    """Features of a frozen backbone, computed when they are first asked for.

    Args:
        recipe: Completed.
        source: The images.
        num_replicas: Devices that share a batch.
        extractor: What computes and keeps features.
    """

    def __init__(
        self, recipe: Recipe, source: Source, num_replicas: int, extractor: Extractor
    ) -> None:
        self.recipe, self.source, self.num_replicas = recipe, source, num_replicas
        self.extractor = extractor
        self._features: dict[str, FeatureArray] = {}

    def features(self, split: str) -> FeatureArray:
        """Returns those of a split: of training images in all views, of others as they are."""
        if split not in self._features:
            views = num_views_of(self.recipe) if split == "train" else 0
            examples = self.source.splits[split]
            self._features[split] = self.extractor.extract(examples, views)
        return self._features[split]

    def train(self, first_epoch: int) -> TrainStream:
        """Returns the training stream from an epoch on."""
        recipe = self.recipe
        return build_feature_stream(
            self.features("train"),
            self.source.train,
            recipe.head.pooling,
            order_of(recipe, self.source, self.num_replicas),
            tasks=self.source.tasks,
            class_weights=class_weights_of(recipe, self.source),
            first_epoch=first_epoch,
        )

    @property
    def validation(self) -> Any:
        """The features of the validation images."""
        return self.dataset("val")

    def dataset(self, split: str) -> Any:
        """Returns the plain features and labels of a split, in order."""
        recipe = self.recipe
        return build_feature_dataset(
            self.features(split),
            self.source.splits[split],
            recipe.head.pooling,
            recipe.input.batch_size,
            self.source.tasks,
        )


def num_views_of(recipe: Recipe) -> int:
    """Returns how many augmented views a recipe wants; none where they would all be alike."""
    return recipe.features.views if recipe.augment.policy else 0


def order_of(recipe: Recipe, source: Source, num_replicas: int = 1) -> SampleOrder:
    """Returns the order in which a recipe has training images seen.

    Args:
        recipe: Completed.
        source: The images.
        num_replicas: Devices that share a batch.
    """
    return build_order(
        source.train.labels,
        recipe.input.batch_size,
        seed=recipe.seed,
        oversample=recipe.train.oversample,
        whole_passes=OPTIMIZERS[recipe.optimizer.name].full_batch,
        num_replicas=num_replicas,
    )


def class_weights_of(recipe: Recipe, source: Source) -> dict[str, Any]:
    """Returns what an image of each class counts, by the names of the tasks that say so."""
    return {
        task.name: compute_balanced_weights(source.train, task)
        for task in source.tasks
        if recipe.all_tasks[task.name].class_weights == "balanced"
    }
