"""Resolved recipes: every setting a concrete value, checked against the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from pipelines.augment.operations import AnyOperation
from pipelines.augment.policies import AugmentConfig
from pipelines.features.config import FeatureConfig
from pipelines.recipe.compatibility import (
    check_convex,
    check_features,
    check_folds,
    check_input_size,
    check_normalization,
    check_single_image_batches,
    check_training,
    check_unknown,
    check_validation_schedule,
    leaves_fitting_open,
)
from pipelines.recipe.fine_tuning import check_fine_tuning
from pipelines.recipe.sections import BackboneConfig, TrainConfig
from pipelines.recipe.settings import RecipeSettings
from pipelines.recipe.task_sections import TaskConfig, TaskName, check_combination
from pipelines.recipe.teacher import DEFAULT_TEMPERATURE, ResolvedTeacher, check_teacher
from pipelines.sources.config import DataConfig
from tuning.linear_heads.logistic_regression import MAX_ITERATIONS
from tuning.optimization.optimizer_config import OptimizerConfig
from tuning.optimization.penalties import PENALTIES, PenaltyConfig, Strength
from zoo.backbones.catalog import resolve
from zoo.config import Config
from zoo.errors import InputError

C = TypeVar("C", bound=Config)

DEFAULT_EPOCHS = 30
"""Epochs of gradient steps where the recipe gives no number."""

DEFAULT_VIEWS = 4
"""Augmented views where the recipe gives no number, and none is measured."""

_MEASURED = {"augment": "policy", "backbone": "levels", "features": "views", "penalty": "l2"}


class ResolvedBackbone(BackboneConfig):
    """The section `backbone`, `frozen` decided, and `levels` decided or to be measured."""

    frozen: bool
    levels: Annotated[int, Field(ge=1)]


class ResolvedFeatures(FeatureConfig):
    """The section `features`, `use` decided, and `views` decided or to be measured.

    An open `engine` stays so until features exist.
    """

    use: bool
    views: Annotated[int, Field(ge=0)]


class ResolvedAugment(AugmentConfig):
    """The section `augment`, its policy decided or to be measured against none."""

    policy: tuple[AnyOperation, ...]


class ResolvedTrain(TrainConfig):
    """The section `train` with its number of epochs."""

    epochs: Annotated[int, Field(ge=1)]


class ResolvedOptimizer(OptimizerConfig):
    """The section `optimizer` with the optimizer's own values where none were given."""

    name: str
    learning_rate: float
    weight_decay: float
    backbone_weight_decay: float


class ResolvedPenalty(PenaltyConfig):
    """The section `penalty` with the penalty's own strengths where none were given."""

    name: str
    l1: float
    l2: Strength
    backbone_l1: float
    backbone_l2: float


class ResolvedRecipe(RecipeSettings):
    """A recipe without open choices: what jobs take, and what recipe.toml holds.

    `input.size` is the size in pixels, above 0, and each task has its column and loss.

    Args:
        to_measure: Paths of settings that are measured once features exist, of
            `augment.policy`, `backbone.levels`, `features.views` and `penalty.l2`; until then
            they have their usual values.
    """

    augment: ResolvedAugment
    backbone: ResolvedBackbone
    features: ResolvedFeatures
    optimizer: ResolvedOptimizer
    penalty: ResolvedPenalty
    train: ResolvedTrain
    teacher: ResolvedTeacher = ResolvedTeacher()
    to_measure: frozenset[str] = Field(default=frozenset(), exclude=True)

    def to_settings(self) -> dict[str, Any]:
        """Returns every setting as nested JSON values; what is to be measured is `auto`."""
        settings = super().to_settings()
        for path in self.to_measure:
            section, name = path.split(".")
            settings[section][name] = "auto"
        return settings

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

    @property
    def trains_on_images(self) -> bool:
        """Whether images pass the network in every epoch of a phase, instead of features once."""
        return not self.features.use or self.fine_tune.blocks > 0

    @property
    def is_convex(self) -> bool:
        """Whether the head is fitted to convergence rather than by gradient steps."""
        return self.optimizer.name == "lbfgs"

    @property
    def trains_on_validation(self) -> bool:
        """Whether validation images are trained on, so that they cannot validate."""
        return self.train.with_validation or self.num_folds > 0

    @property
    def num_folds(self) -> int:
        """Folds that each have a head of their own; 0 for one head, or where it is open yet."""
        return 0 if self.train.folds == "auto" else self.train.folds

    def with_measured(
        self,
        *,
        policy: Sequence[AnyOperation] | None = None,
        levels: int | None = None,
        views: int | None = None,
        l2: float | None = None,
    ) -> ResolvedRecipe:
        """Returns the recipe with measured values of settings that it left open.

        Args:
            policy: Of `augment.policy`; None leaves it.
            levels: Of `backbone.levels`; None leaves it.
            views: Of `features.views`; None leaves it.
            l2: Of `penalty.l2`; None leaves it.
        """
        changed: dict[str, Any] = {}
        if policy is not None:
            changed["augment"] = self.augment.with_policy(policy)
        if levels is not None:
            changed["backbone"] = self.backbone.model_copy(update={"levels": levels})
        if views is not None:
            changed["features"] = self.features.model_copy(update={"views": views})
        if l2 is not None:
            changed["penalty"] = self.penalty.with_measured_l2(l2)
        measured = {f"{section}.{_MEASURED[section]}" for section in changed}
        return self.model_copy(update={**changed, "to_measure": self.to_measure - measured})

    def without_measuring(self) -> ResolvedRecipe:
        """Returns the recipe with the usual values of settings that it left open."""
        return self.model_copy(update={"to_measure": frozenset()})

    def with_depth(self, depth: int | Literal["auto"]) -> ResolvedRecipe:
        """Returns the recipe with the depth that was measured over the training images.

        Args:
            depth: Of `input.depth`, 8 to 16; `auto` where it is still open.
        """
        return self.model_copy(update={"input": self.input.model_copy(update={"depth": depth})})

    def with_folds(self, count: int) -> ResolvedRecipe:
        """Returns the recipe with the number of folds that its images allow.

        Args:
            count: Of `train.folds`.
        """
        return self.model_copy(update={"train": self.train.model_copy(update={"folds": count})})

    def with_maps(self, kept_as: Literal["float16", "float32", "none"]) -> ResolvedRecipe:
        """Returns the recipe with the decision whether fine-tuning trains on maps.

        Args:
            kept_as: Of `fine_tune.maps`.
        """
        return self.model_copy(
            update={"fine_tune": self.fine_tune.model_copy(update={"maps": kept_as})}
        )

    def with_choices_of(self, run: ResolvedRecipe) -> ResolvedRecipe:
        """Returns the recipe with what a run chose for it once it had images and features.

        Args:
            run: The recipe of the run, which was started with this one.
        """
        recipe = self
        if recipe.input.depth == "auto" and run.input.depth != "auto":
            recipe = recipe.with_depth(run.input.depth)
        if recipe.train.folds == "auto":
            recipe = recipe.with_folds(run.num_folds)
        if recipe.features.engine_is_open:
            recipe = recipe.with_engine(run.features.engine)
        if recipe.fine_tune.maps == "auto" and run.fine_tune.maps != "auto":
            recipe = recipe.with_maps(run.fine_tune.maps)
        if "augment.policy" in recipe.to_measure:
            recipe = recipe.with_measured(policy=run.augment.policy)
        if "backbone.levels" in recipe.to_measure:
            recipe = recipe.with_measured(levels=run.backbone.levels)
        if "features.views" in recipe.to_measure:
            recipe = recipe.with_measured(views=run.features.views)
        if "penalty.l2" in recipe.to_measure:
            recipe = recipe.with_measured(l2=run.penalty.l2)
        return recipe

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
    check_normalization(settings, frozen=bool(frozen and weights), own=row.normalization)
    check_training(settings.optimizer, settings.schedule, settings.penalty, settings.stopping)
    check_validation_schedule(settings)
    check_unknown(settings)
    check_teacher(settings.teacher, settings.train, settings.tasks)
    if settings.tasks:
        check_combination(settings.tasks, settings.train, monitor=settings.stopping.monitor)
    use = settings.features.use
    if use == "auto":
        use = frozen and not settings.augment.blends
    check_features(settings.augment, use=use, frozen=frozen)
    check_fine_tuning(settings, frozen=frozen, use=use)
    optimizer = settings.optimizer.completed()
    if settings.optimizer.name is None and use and leaves_fitting_open(settings):
        optimizer = OptimizerConfig(name="lbfgs").completed()
    if optimizer.name == "lbfgs":
        check_convex(settings, use=use)
    check_folds(settings, optimizer=str(optimizer.name))
    folds = settings.train.folds
    if folds == "auto" and not _can_have_folds(settings, convex=optimizer.name == "lbfgs"):
        folds = 0
    temperature = settings.teacher.temperature
    if temperature == "auto":
        temperature = 1.0 if optimizer.name == "lbfgs" else DEFAULT_TEMPERATURE
    epochs = MAX_ITERATIONS if optimizer.name == "lbfgs" else DEFAULT_EPOCHS
    # Of one task on features, heads are quick to compare.
    stackable = optimizer.row.elementwise and not settings.teacher.run
    measurable = use and not settings.tasks and (optimizer.name == "lbfgs" or stackable)
    to_measure = set()
    if measurable and settings.augment.policy == "auto" and settings.features.views:
        to_measure.add("augment.policy")
    views = settings.features.views
    if views == "auto":
        views = DEFAULT_VIEWS
        if measurable and (settings.augment.policy == "auto" or settings.augment.operations):
            to_measure.add("features.views")
    levels = settings.backbone.levels
    if levels == "auto":
        levels = 1
        own = settings.input.normalization == "own"
        if measurable and optimizer.name == "lbfgs" and own and not settings.fine_tune.blocks:
            to_measure.add("backbone.levels")
    penalty = settings.penalty.completed()
    if measurable and settings.penalty.measures_l2:
        to_measure.add("penalty.l2")
        usual = PENALTIES["l2"].l2 if penalty.l2 in ("auto", 0.0) else penalty.l2
        penalty = penalty.with_measured_l2(float(usual))
    tasks: Mapping[TaskName, TaskConfig] = {
        name: task.completed(name) for name, task in settings.tasks.items()
    }
    return ResolvedRecipe.model_validate(
        {
            **dict(settings),
            "augment": _narrow(
                ResolvedAugment, settings.augment, policy=settings.augment.operations
            ),
            "backbone": _narrow(ResolvedBackbone, settings.backbone, frozen=frozen, levels=levels),
            "features": _narrow(ResolvedFeatures, settings.features, use=use, views=views),
            "input": settings.input.model_copy(update={"size": size}),
            "optimizer": _narrow(ResolvedOptimizer, optimizer),
            "penalty": _narrow(ResolvedPenalty, penalty),
            "train": _narrow(
                ResolvedTrain, settings.train, epochs=settings.train.epochs or epochs, folds=folds
            ),
            "tasks": tasks,
            "teacher": _narrow(ResolvedTeacher, settings.teacher, temperature=temperature),
            "to_measure": frozenset(to_measure),
        }
    )


def _can_have_folds(settings: RecipeSettings, *, convex: bool) -> bool:
    """Whether images may decide on the folds, since no setting asks for something else."""
    usual, data = DataConfig(), settings.data
    divided = data.val_fraction != usual.val_fraction or data.train_per_class > 0
    other = divided or settings.fine_tune.blocks > 0 or settings.train.with_validation
    return convex and not other and not settings.teacher.unlabeled


def _narrow(section: type[C], config: Config, **decided: object) -> C:
    return section.model_validate({**dict(config), **decided})
