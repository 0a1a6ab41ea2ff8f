"""The sections that every recipe has, written and resolved ones alike, and their TOML form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import tomlkit
from pydantic import Field, ValidationError, model_validator

from pipelines.augment.policies import AugmentConfig
from pipelines.features.config import FeatureConfig
from pipelines.input_pipeline.config import InputConfig
from pipelines.recipe.overrides import merge_settings, read_settings, setting_paths
from pipelines.recipe.pretraining import PretrainingConfig
from pipelines.recipe.sections import (
    BackboneConfig,
    CalibrationConfig,
    DecisionConfig,
    FineTuneConfig,
    RecipeData,
    TrainConfig,
    UnknownConfig,
)
from pipelines.recipe.task_sections import TaskConfig, TaskName, build_unbound_tasks
from pipelines.recipe.teacher import TeacherConfig
from pipelines.runtime.devices import DeviceConfig
from tuning.early_stopping import StoppingConfig
from tuning.optimization.optimizer_config import OptimizerConfig
from tuning.optimization.penalties import PenaltyConfig
from tuning.optimization.schedules import ScheduleConfig
from zoo.config import Config, first_problem
from zoo.errors import RecipeError
from zoo.heads.head import HeadConfig
from zoo.table import unknown_name
from zoo.tasks import LABEL, Task


class RecipeSettings(Config):
    """Every setting of a run.

    Args:
        seed: Seed of the split, the initial weights, the order, augmentation and dropout.
        data: Which images, and their splits.
        input: How images reach the network.
        augment: How training images vary.
        backbone: The network below the head.
        features: Whether the features of a frozen backbone are computed once and kept.
        head: The layers trained first, on top of the backbone.
        optimizer: The optimizer and its learning rate.
        schedule: How the learning rate changes.
        penalty: L1 and L2 penalties on kernels.
        train: Epochs, loss and class balance of the first phase.
        tasks: What is learned, by name, where that is more than one class an image; see
            `pipelines.recipe.task_sections`.
        teacher: A finished run whose answers are learned beside the labels.
        stopping: Early stopping.
        fine_tune: The optional second phase, with the backbone's top blocks.
        calibration: Whether probabilities are calibrated on the validation images.
        unknown: Whether an image may be none of the classes.
        decision: Which classes or labels of an image count as the answer.
        pretraining: How `zoo pretrain` trains a backbone.
        device: Precision, determinism and compiler.
    """

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    data: RecipeData = RecipeData()
    input: InputConfig = InputConfig()
    augment: AugmentConfig = AugmentConfig()
    backbone: BackboneConfig = BackboneConfig()
    features: FeatureConfig = FeatureConfig()
    head: HeadConfig = HeadConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    penalty: PenaltyConfig = PenaltyConfig()
    train: TrainConfig = TrainConfig()
    tasks: Mapping[TaskName, TaskConfig] = {}
    teacher: TeacherConfig = TeacherConfig()
    stopping: StoppingConfig = StoppingConfig()
    fine_tune: FineTuneConfig = FineTuneConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    unknown: UnknownConfig = UnknownConfig()
    decision: DecisionConfig = DecisionConfig()
    pretraining: PretrainingConfig = PretrainingConfig()
    device: DeviceConfig = DeviceConfig()

    @model_validator(mode="before")
    @classmethod
    def _monitor_loss_of_tasks(cls, values: Any) -> Any:
        # Several tasks have no single accuracy to monitor; a monitor that is given stays.
        if isinstance(values, dict) and values.get("tasks"):
            given = values.get("stopping", {})
            if isinstance(given, Mapping) and "monitor" not in given:
                return {**values, "stopping": {**given, "monitor": "val_loss"}}
        return values

    @property
    def unbound_tasks(self) -> tuple[Task, ...]:
        """What a model learns, before the classes are known; `bind_tasks` binds it to data."""
        return build_unbound_tasks(self.tasks)

    @property
    def task_configs(self) -> Mapping[str, TaskConfig]:
        """What is learned, by name: the sections, or the one task of a plain classifier."""
        if self.tasks:
            return self.tasks
        return {
            LABEL: TaskConfig(
                column=LABEL,
                loss=self.train.loss,
                label_smoothing=self.train.label_smoothing,
                focal_gamma=self.train.focal_gamma,
                class_weights=self.train.class_weights,
            )
        }

    @classmethod
    def from_settings(cls, *layers: Mapping[str, Any]) -> Self:
        """Builds a recipe from nested mappings; later ones override earlier ones.

        Raises:
            RecipeError: A key does not exist, or a value is out of range.
        """
        merged: dict[str, Any] = {}
        for layer in layers:
            merge_settings(merged, layer)
        try:
            return cls.model_validate(merged)
        except ValidationError as error:
            raise _recipe_error(error) from None

    @classmethod
    def from_toml(cls, path: Path) -> Self:
        """Reads a recipe file.

        Raises:
            RecipeError: The file is absent, not TOML, or not a recipe.
            UnknownNameError: It names a row that no table has.
        """
        settings = read_settings(path)
        try:
            return cls.from_settings(settings)
        except RecipeError as error:
            raise RecipeError(f"{path}: {error}") from None

    def to_settings(self) -> dict[str, Any]:
        """Returns every setting as nested JSON values; those without a value are left out."""
        return self.model_dump(mode="json", exclude_none=True)

    def differences(self, other: RecipeSettings) -> dict[str, tuple[Any, Any]]:
        """Returns the settings in which two recipes differ.

        Args:
            other: The recipe to compare with.

        Returns:
            From path to this recipe's value and the other's; None where one has no value.
        """
        mine, others = (dict(_flatten(recipe.model_dump())) for recipe in (self, other))
        paths = dict.fromkeys([*mine, *others])
        pairs = {path: (mine.get(path), others.get(path)) for path in paths}
        return {path: pair for path, pair in pairs.items() if pair[0] != pair[1]}

    def to_toml(self) -> str:
        """Returns the recipe as TOML, every setting written out."""
        return tomlkit.dumps(self.to_settings())


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _recipe_error(error: ValidationError) -> RecipeError:
    paths = list(setting_paths(RecipeSettings))
    problem = first_problem(error)
    if not problem.path:
        # A key that is no text of Unicode, as of bytes that are not UTF-8.
        return RecipeError(
            "the recipe does not fit", expected=problem.message, received=problem.received
        )
    if problem.path[0] == "tasks":
        task = ".".join(problem.path[:2])
        paths = [task, *setting_paths(TaskConfig, f"{task}.")]
    # A union appends the names of its branches to the path of the setting.
    prefixes = [".".join(problem.path[:end]) for end in range(len(problem.path), 0, -1)]
    path = next((prefix for prefix in prefixes if prefix in paths), prefixes[0])
    if problem.is_unknown_key:
        return RecipeError(str(unknown_name("recipe key", prefixes[0], paths)))
    if isinstance(problem.cause, RecipeError):
        return RecipeError(f"{path}: {problem.cause}")
    if problem.cause is not None:
        return RecipeError(f"{path} contradicts itself: {problem.cause}")
    return RecipeError(
        f"{path} does not fit",
        expected=" or ".join(problem.expected_at(path)),
        received=problem.received,
        mend=f"set it by --set {path}=VALUE or in the recipe",
    )
