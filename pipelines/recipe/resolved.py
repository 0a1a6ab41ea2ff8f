"""Resolved recipes: every setting a concrete value, checked against the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pipelines.features.config import FeatureConfig
from pipelines.recipe.compatibility import (
    check_features,
    check_fine_tuning,
    check_input_size,
    check_normalization,
    check_single_image_batches,
    check_training,
    check_validation_schedule,
)
from pipelines.recipe.sections import BackboneConfig
from pipelines.recipe.settings import RecipeSettings
from pipelines.recipe.task_sections import TaskConfig, TaskName, check_combination
from tuning.optimization.optimizers import OptimizerConfig
from tuning.optimization.penalties import PenaltyConfig
from zoo.backbones.catalog import resolve
from zoo.config import Config
from zoo.errors import InputError

C = TypeVar("C", bound=Config)


class ResolvedBackbone(BackboneConfig):
    """The section `backbone`, `frozen` decided."""

    frozen: bool


class ResolvedFeatures(FeatureConfig):
    """The section `features`, `use` decided; an open `engine` stays so until features exist."""

    use: bool


class ResolvedOptimizer(OptimizerConfig):
    """The section `optimizer` with the optimizer's own values where none were given."""

    learning_rate: float
    weight_decay: float
    backbone_weight_decay: float


class ResolvedPenalty(PenaltyConfig):
    """The section `penalty` with the penalty's own strengths where none were given."""

    l1: float
    l2: float
    backbone_l1: float
    backbone_l2: float


class ResolvedRecipe(RecipeSettings):
    """A recipe without open choices: what jobs take, and what recipe.toml holds.

    `input.size` is the size in pixels, above 0, and each task has its column and loss.
    """

    backbone: ResolvedBackbone
    features: ResolvedFeatures
    optimizer: ResolvedOptimizer
    penalty: ResolvedPenalty

    @property
    def source(self) -> str:
        """The data set, as DATA on the command line.

        Raises:
            InputError: The recipe names none.
        """
        if not self.data.source:
            raise InputError("the recipe names no data set", expected="data.source")
        return self.data.source

    @property
    def num_views(self) -> int:
        """Augmented views of each training image; 0 where the policy changes nothing."""
        return self.features.views if self.augment.policy else 0

    def with_engine(self, name: str) -> ResolvedRecipe:
        """Returns the recipe with the engine that computed its features.

        Args:
            name: A row of ENGINES, or a way to choose one.
        """
        features = self.features.model_copy(update={"engine": name})
        return self.model_copy(update={"features": features})


def resolve_recipe(settings: RecipeSettings) -> ResolvedRecipe:
    """Decides every open choice of a recipe and checks the result.

    Raises:
        RecipeError: Two settings exclude each other.
        WeightsError: The backbone is a file that cannot be read.
    """
    row, weights = resolve(settings.backbone.name)
    frozen = settings.backbone.frozen
    if frozen == "auto":
        frozen = weights is not None
    native = weights.input_size if weights else row.input_size
    size = settings.input.size or native
    check_input_size(settings, size=size, native=native, smallest=row.min_size)
    check_single_image_batches(settings)
    check_fine_tuning(settings, frozen=frozen)
    check_normalization(settings, frozen=bool(frozen and weights), own=row.normalization)
    check_training(settings.optimizer, settings.schedule, settings.penalty, settings.stopping)
    check_validation_schedule(settings)
    if settings.tasks:
        check_combination(settings.tasks, settings.train, monitor=settings.stopping.monitor)
    use = settings.features.use
    if use == "auto":
        use = frozen and not settings.augment.blends
    check_features(settings.augment, use=use, frozen=frozen)
    tasks: Mapping[TaskName, TaskConfig] = {
        name: task.completed(name) for name, task in settings.tasks.items()
    }
    return ResolvedRecipe.model_validate(
        {
            **dict(settings),
            "backbone": _narrow(ResolvedBackbone, settings.backbone, frozen=frozen),
            "features": _narrow(ResolvedFeatures, settings.features, use=use),
            "input": settings.input.model_copy(update={"size": size}),
            "optimizer": _narrow(ResolvedOptimizer, settings.optimizer.completed()),
            "penalty": _narrow(ResolvedPenalty, settings.penalty.completed()),
            "tasks": tasks,
        }
    )


def _narrow(section: type[C], config: Config, **decided: object) -> C:
    return section.model_validate({**dict(config), **decided})
