"""Recipe: all that defines a run, as frozen models that read and write TOML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tomlkit
from pydantic import Field, ValidationError, model_validator

from pipelines.augment.policies import AugmentConfig
from pipelines.features.config import FeatureConfig
from pipelines.input_pipeline.config import InputConfig
from pipelines.recipe.compatibility import check_training
from pipelines.recipe.overrides import merge_settings, other_backbone, read_settings, setting_paths
from pipelines.recipe.presets import HEADS, PRESETS
from pipelines.recipe.pretraining import PretrainingConfig
from pipelines.recipe.sections import BackboneConfig, FineTuneConfig, RecipeData, TrainConfig
from pipelines.recipe.task_sections import TaskConfig, TaskName, asked, check_combination
from pipelines.runtime.devices import DeviceConfig
from tuning.early_stopping import StoppingConfig
from tuning.optimization.optimizers import OptimizerConfig
from tuning.optimization.penalties import PenaltyConfig
from tuning.optimization.schedules import SCHEDULES, ScheduleConfig
from zoo.backbones.catalog import resolve
from zoo.config import Config
from zoo.errors import RecipeError
from zoo.heads.head import HeadConfig
from zoo.table import unknown_name
from zoo.tasks import LABEL, Task


class Recipe(Config):
    """All that defines a run: the same recipe, data and machine give the same weights.

    Args:
        seed: Of the split, the initial weights, the order, augmentation and
            dropout.
        data: Which images.
        input: How they reach the network.
        augment: How training images vary.
        backbone: What the head stands on.
        features: Whether what a frozen backbone makes of the images is computed once.
        head: What is trained first.
        optimizer: What trains it.
        schedule: How its learning rate changes.
        penalty: What large weights cost.
        train: How long, on what loss.
        tasks: What is learned, by name, where that is not the classes alone; see
            `pipelines.recipe.task_sections`.
        stopping: When it ends early.
        fine_tune: The second phase.
        pretraining: How `zoo pretrain` trains a backbone.
        device: What it runs on.
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
    stopping: StoppingConfig = StoppingConfig()
    fine_tune: FineTuneConfig = FineTuneConfig()
    pretraining: PretrainingConfig = PretrainingConfig()
    device: DeviceConfig = DeviceConfig()

    @model_validator(mode="before")
    @classmethod
    def _tasks_have_one_loss_to_watch(cls, values: Any) -> Any:
        # Several tasks have no one accuracy; what is said of `stopping` stays as it is said.
        if isinstance(values, dict) and values.get("tasks"):
            given = values.get("stopping", {})
            if isinstance(given, Mapping) and "monitor" not in given:
                return {**values, "stopping": {**given, "monitor": "val_loss"}}
        return values

    @property
    def asked_tasks(self) -> tuple[Task, ...]:
        """The tasks to read from data, without their classes."""
        return asked(self.tasks)

    @property
    def all_tasks(self) -> Mapping[str, TaskConfig]:
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
    def preset(
        cls, name: str = "photo", *, backbone: str = "", head: Any = None, **settings: Any
    ) -> Recipe:
        """Returns the recipe that suits a kind of image.

        Args:
            name: A key of PRESETS, such as `photo`, `digits`, `textures` or `pretrain`.
            backbone: Instead of the preset's own.
            head: The name of a preset in HEADS, or the section, as a mapping.
            **settings: Sections, as mappings, that override the preset's.

        Raises:
            UnknownNameError: No such preset, head or backbone.
            RecipeError: A setting that is unknown or out of range.

        Example:
            >>> str(Recipe.preset("digits").augment)
            'digits: crop(0.8, aspect=1.1)'
            >>> Recipe.preset(head={"dropout": 0.3}).head.dropout
            0.3
            >>> Recipe.preset(head="modern").optimizer.name
            'adamw'
        """
        if name not in PRESETS:
            raise unknown_name("preset", name, PRESETS)
        layers: list[Mapping[str, Any]] = [PRESETS[name]]
        if backbone:
            layers.append(other_backbone(backbone))
        if isinstance(head, str):
            layers.append(HEADS[head].settings)
        elif head is not None:
            settings["head"] = head
        layers.append(settings)
        return cls.from_settings(*layers)

    @classmethod
    def from_settings(cls, *layers: Mapping[str, Any]) -> Recipe:
        """Builds a recipe from nested mappings, later ones over earlier ones.

        Raises:
            RecipeError: A key that does not exist, or a value that does not fit.
        """
        merged: dict[str, Any] = {}
        for layer in layers:
            merge_settings(merged, layer)
        try:
            return cls.model_validate(merged)
        except ValidationError as error:
            raise _recipe_error(error) from None

    @classmethod
    def from_toml(cls, path: Path) -> Recipe:
        """Reads a recipe file.

        Raises:
            RecipeError: It is absent, no TOML, or no recipe.
            UnknownNameError: It names something that does not exist.
        """
        settings = read_settings(path)
        try:
            return cls.from_settings(settings)
        except RecipeError as error:
            raise RecipeError(f"{path}: {error}") from None

    def to_toml(self) -> str:
        """Returns the recipe as TOML, every setting written out."""
        return tomlkit.dumps(self.model_dump(mode="json", exclude_none=True))

    def with_values(self, values: Mapping[str, Any], *, instead_of: Sequence[str] = ()) -> Recipe:
        """Returns the same with other values of some settings.

        Args:
            values: By path.
            instead_of: Paths whose settings here do not count: what `values` does not name
                of them takes its default.

        Raises:
            RecipeError: A value does not fit.

        Example:
            >>> Recipe().with_values({"head.dropout": 0.3}).head.dropout
            0.3
        """
        settings = self.model_dump(mode="json", exclude_none=True)
        for path in instead_of:
            *sections, name = path.split(".")
            inner = settings
            for section in sections:
                inner = inner.get(section, {})
            inner.pop(name, None)
        layers = []
        for path, value in values.items():
            layer: Any = value
            for key in reversed(path.split(".")):
                layer = {key: layer}
            layers.append(layer)
        return type(self).from_settings(settings, *layers)

    def completed(self) -> Recipe:
        """Returns the same with everything spelled out that was left to defaults.

        Raises:
            RecipeError: The settings contradict each other.
        """
        row, weights = resolve(self.backbone.name)
        frozen = weights is not None if self.backbone.frozen == "auto" else self.backbone.frozen
        native = weights.input_size if weights else row.input_size
        size = self.input.size or native
        if size < row.min_size:
            raise RecipeError(
                f"input.size is too small for {self.backbone.name}",
                expected=f"at least {row.min_size}",
                received=str(size),
                mend=f"--set input.size={native} is its own",
            )
        if self.input.batch_size == 1:
            self._check_online()
        if self.fine_tune.blocks and not frozen:
            raise RecipeError(
                "fine_tune.blocks unfreezes a frozen backbone, and this one is trained throughout",
                expected="backbone.frozen = true, or fine_tune.blocks = 0",
                received=f"backbone.name = {self.backbone.name!r}, "
                f"fine_tune.blocks = {self.fine_tune.blocks}",
                mend="choose a pretrained backbone (`zoo list weights`) or drop fine_tune.blocks",
            )
        self._check_normalization(bool(frozen and weights), row.normalization)
        check_training(self.optimizer, self.schedule, self.penalty, self.stopping)
        if self.train.with_validation and SCHEDULES[self.schedule.name].by_validation:
            raise RecipeError(
                f"the schedule {self.schedule.name} waits for a validation that never comes",
                expected="another schedule.name, or train.with_validation = false",
                received=f"schedule.name = {self.schedule.name!r}",
                mend="--set schedule.name=exponential",
            )
        if self.tasks:
            check_combination(
                self.tasks,
                loss=self.train.loss,
                label_smoothing=self.train.label_smoothing,
                class_weights=self.train.class_weights,
                oversample=self.train.oversample,
                monitor=self.stopping.monitor,
            )
        return self.model_copy(
            update={
                "backbone": self.backbone.model_copy(update={"frozen": frozen}),
                "features": self.features.completed(self.augment, frozen=frozen),
                "input": self.input.model_copy(update={"size": size}),
                "optimizer": self.optimizer.completed(),
                "penalty": self.penalty.completed(),
                "tasks": {name: task.completed(name) for name, task in self.tasks.items()},
            }
        )

    def _check_online(self) -> None:
        """Refuses what a batch of one image has no use for."""
        if self.augment.blends:
            raise RecipeError(
                "augment.policy blends images of a batch, and a batch is to have one",
                expected="input.batch_size of 2 or more, or a policy without mixup and cutmix",
                received=f"augment.policy = {str(self.augment)!r}, input.batch_size = 1",
            )
        hidden = self.head.hidden or any(task.hidden for task in self.tasks.values())
        if hidden and self.head.batch_norm:
            raise RecipeError(
                "batch normalization takes the mean of a batch away, which is all of one image",
                expected="input.batch_size of 2 or more, or head.batch_norm = false",
                received="input.batch_size = 1, head.batch_norm = true",
                mend="--set head.batch_norm=false",
            )

    def _check_normalization(self, kept: bool, own: str) -> None:
        """Refuses pixels that the backbone could not make anything of."""
        chosen = self.input.normalization
        if chosen in ("own", own) or not (kept or own == "none"):
            return
        kept_as_it_is = f"was trained with {own!r} and is kept as it is"
        raise RecipeError(
            f"{self.backbone.name} {'normalizes inside' if own == 'none' else kept_as_it_is}",
            expected="input.normalization = 'own'",
            received=repr(chosen),
            mend="leave it out, or train another backbone from random weights",
        )


def _recipe_error(error: ValidationError) -> Exception:
    first = error.errors(include_url=False)[0]
    # A union's branches append their own names to the path; the setting is what counts.
    parts = [str(part) for part in first["loc"] if part != "[key]"]
    paths = list(setting_paths(Recipe))
    if parts[0] == "tasks":
        task = ".".join(parts[:2])
        paths = [task, *setting_paths(TaskConfig, f"{task}.")]
    prefixes = [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
    path = next((prefix for prefix in prefixes if prefix in paths), prefixes[0])
    if first["type"] == "extra_forbidden":
        return RecipeError(str(unknown_name("recipe key", prefixes[0], paths)))
    if first["type"] == "value_error" and isinstance(first["ctx"]["error"], RecipeError):
        return RecipeError(f"{path}: {first['ctx']['error']}")
    if first["type"] == "value_error":
        return RecipeError(f"{path} contradicts itself: {first['ctx']['error']}")
    expected = [
        e["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
        for e in error.errors(include_url=False)
        if ".".join(map(str, e["loc"])).startswith(path)
    ]
    return RecipeError(
        f"{path} does not fit",
        expected=" or ".join(expected),
        received=repr(first["input"]),
        mend=f"set it by --set {path}=VALUE or in the recipe",
    )
