"""Recipe: all that defines a run, as frozen models that read and write TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tomlkit
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from pipelines.augment.policies import AugmentConfig
from pipelines.devices import DeviceConfig
from pipelines.features.config import FeatureConfig
from pipelines.input import InputConfig
from pipelines.presets import HEADS
from pipelines.sampling import Oversample
from pipelines.sources import DataConfig
from pipelines.tasks import TaskConfig, TaskName, asked, check_combination
from tuning.contradictions import check_training
from tuning.losses import LOSSES
from tuning.optimizers import OptimizerConfig
from tuning.penalties import PenaltyConfig
from tuning.schedules import ScheduleConfig
from tuning.stopping import StoppingConfig
from zoo.backbones import resolve
from zoo.config import Config
from zoo.errors import RecipeError
from zoo.heads import HeadConfig
from zoo.table import unknown_name
from zoo.tasks import LABEL, Task


class RecipeData(DataConfig):
    """Which images, and how they are split.

    Args:
        source: DATA as the command line takes it; a relative path is relative to
            the working folder of the run.
    """

    source: str = ""


class BackboneConfig(Config):
    """What the head stands on.

    Args:
        name: An architecture (random weights), `architecture.tag`, or the path of a
            file that `zoo pretrain` wrote.
        frozen: Whether its weights are kept while the head trains; `auto` keeps
            pretrained ones and trains random ones.
    """

    name: str = "mobilenet_v2.imagenet"
    frozen: bool | Literal["auto"] = "auto"

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        resolve(name)
        return name


class TrainConfig(Config):
    """How long, and on what loss.

    Args:
        epochs: At most this many.
        loss: A row of LOSSES for classes: `cross_entropy` or `focal`.
        label_smoothing: Share of the target spread over all classes, 0 to below
            1; Szegedy et al., 2016.
        focal_gamma: How far the focal loss takes weight from what is answered well
            already; 0 is cross-entropy.
        class_weights: `balanced` lets every class count the same in the loss,
            by N / (C × N_class).
        oversample: `balanced` shows as many images of every class in an epoch as the
            commonest has: rare ones come round several times, augmented anew.
    """

    epochs: Annotated[int, Field(ge=1)] = 30
    loss: str = "cross_entropy"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    focal_gamma: Annotated[float, Field(ge=0, le=10)] = 2.0
    class_weights: Literal["none", "balanced"] = "none"
    oversample: Oversample = "none"

    @field_validator("loss")
    @classmethod
    def _for_classes(cls, name: str) -> str:
        if LOSSES[name].kind != "single_label":
            raise ValueError(f"a loss for classes; {name} is for {LOSSES[name].kind} tasks")
        return name

    @model_validator(mode="after")
    def _balances_once(self) -> TrainConfig:
        if self.class_weights == self.oversample == "balanced":
            raise ValueError(
                "class_weights and oversample both make up for rare classes, which then count "
                "too much; expected one of them to be none"
            )
        return self


class FineTuneConfig(Config):
    """The optional second phase: the head and the backbone's top blocks together.

    Args:
        blocks: How many blocks to unfreeze, from the top; 0 leaves it out.
        epochs: At most this many more.
        learning_rate: The head's, far below that of the first phase, since the weights
            are good already.
        block_decay: The learning rate of each block over that of what is above it,
            above 0; 1 gives all the same. What is low in a network is general and
            should change least; Howard and Ruder, 2018, divide by 2.6.
        gradual: Epochs between one block and the next to be unfrozen, from the top;
            each is a phase of its own, and the last goes on to the end. 0 unfreezes
            all at once.
    """

    blocks: Annotated[int, Field(ge=0)] = 0
    epochs: Annotated[int, Field(ge=1)] = 10
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.0005
    block_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    gradual: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _has_epochs_for_every_block(self) -> FineTuneConfig:
        needed = self.gradual * (self.blocks - 1) + 1
        if self.epochs < needed:
            raise ValueError(
                f"blocks = {self.blocks} with gradual = {self.gradual} never unfreezes the last; "
                f"expected epochs of at least {needed}, not {self.epochs}"
            )
        return self


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
            `pipelines.tasks`.
        stopping: When it ends early.
        fine_tune: The second phase.
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
        """The named tasks, as data are asked for them; none where the classes are learned."""
        return asked(self.tasks)

    @property
    def all_tasks(self) -> Mapping[str, TaskConfig]:
        """What is learned, by name: the named tasks, or the classes under the empty name."""
        if self.tasks:
            return self.tasks
        return {
            "": TaskConfig(
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
            name: `photo`, `digits`, `textures` or `pretrain`.
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
        if isinstance(head, str):
            layers.append(HEADS[head].settings)
        elif head is not None:
            settings["head"] = head
        layers.append(settings)
        if backbone:
            layers.append(other_backbone(backbone))
        return cls.from_settings(*layers)

    @classmethod
    def from_settings(cls, *layers: Mapping[str, Any]) -> Recipe:
        """Builds a recipe from nested mappings, later ones over earlier ones.

        Raises:
            RecipeError: A key that does not exist, or a value that does not fit.
        """
        merged: dict[str, Any] = {}
        for layer in layers:
            _merge(merged, layer)
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
        if self.augment.blends and self.input.batch_size == 1:
            raise RecipeError(
                "augment.policy blends images of a batch, and a batch is to have one",
                expected="input.batch_size of 2 or more, or a policy without mixup and cutmix",
                received=f"augment.policy = {str(self.augment)!r}, input.batch_size = 1",
            )
        if self.fine_tune.blocks and not frozen:
            raise RecipeError(
                "fine_tune.blocks unfreezes a frozen backbone, and this one is trained throughout",
                expected="backbone.frozen = true, or fine_tune.blocks = 0",
                received=f"backbone.name = {self.backbone.name!r}, "
                f"fine_tune.blocks = {self.fine_tune.blocks}",
                mend="choose a pretrained backbone (`zoo list weights`) or drop fine_tune.blocks",
            )
        self._check_normalisation(bool(frozen and weights), row.normalisation)
        check_training(self.optimizer, self.schedule, self.penalty, self.stopping)
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

    def _check_normalisation(self, kept: bool, own: str) -> None:
        """Refuses pixels that the backbone could not make anything of."""
        chosen = self.input.normalisation
        if chosen in ("own", own) or not (kept or own == "none"):
            return
        kept_as_it_is = f"was trained with {own!r} and is kept as it is"
        raise RecipeError(
            f"{self.backbone.name} {'normalises inside' if own == 'none' else kept_as_it_is}",
            expected="input.normalisation = 'own'",
            received=repr(chosen),
            mend="leave it out, or train another backbone from random weights",
        )


# The field's recipe for small images: Nesterov at a high rate that rises and falls, label
# smoothing, averaged weights, flips, shifts of four pixels and cutout of eight (DeVries
# and Taylor, 2017, https://arxiv.org/abs/1708.04552). Without the cutout and with shifts
# of three pixels a network answered 95 % of its training images right and 88.5 % of others.
_FROM_SCRATCH = {
    "data": {"val_fraction": 0.02},
    "input": {"size": 32, "batch_size": 256},
    "augment": {
        "policy": [
            {"name": "flip_lr"},
            {"name": "shift", "share": 0.125},
            {
                "name": "erase",
                "p": 1.0,
                "area": 0.0625,
                "least": 0.0625,
                "aspect": 1.0,
                "fill": "grey",
            },
        ]
    },
    "backbone": {"name": "micro_resnet_m", "frozen": False},
    "optimizer": {"name": "nesterov", "learning_rate": 0.2, "weight_decay": 0.005, "ema": 0.99},
    "schedule": {"name": "cosine", "warmup": 0.15},
    "train": {"epochs": 30, "label_smoothing": 0.1},
    "stopping": {"monitor": "val_accuracy", "patience": 0},
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Photographs: a pretrained backbone, mirrored and moderately cropped.
    "photo": {},
    # Written signs: neither flipped nor cropped, or a 6 is no longer a 6.
    "digits": {
        "backbone": {"name": "micro_resnet_m.cifar10"},
        "augment": {"policy": "digits"},
        "input": {"size": 32},
        "head": {"hidden": [256]},
    },
    # Small pictures of surfaces.
    "textures": {
        "backbone": {"name": "micro_resnet_m.cifar10"},
        "augment": {"policy": "textures"},
        "input": {"size": 64},
        "head": {"hidden": [256]},
        "train": {"epochs": 15},
    },
    # A whole small network from random weights, for `zoo pretrain`.
    "pretrain": _FROM_SCRATCH,
}


def read_settings(path: Path) -> dict[str, Any]:
    """Reads a recipe file without checking its keys.

    Raises:
        RecipeError: It is absent or no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(
            f"{path} cannot be read: {error.strerror}", mend="give --recipe an existing TOML file"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid TOML: {error}") from None


def parse_overrides(assignments: Sequence[str]) -> dict[str, Any]:
    """Turns `PATH=VALUE` arguments into nested settings.

    VALUE is read as TOML, and as a plain string where it is none.

    Raises:
        RecipeError: An argument has no `=` or no path.

    Example:
        >>> parse_overrides(["head.dropout=0.3", "backbone.name=resnet50"])
        {'head': {'dropout': 0.3}, 'backbone': {'name': 'resnet50'}}
    """
    settings: dict[str, Any] = {}
    for assignment in assignments:
        path, separator, text = assignment.partition("=")
        keys = [key.strip() for key in path.split(".")]
        if not separator or not all(keys):
            raise RecipeError(
                "--set does not understand its argument",
                expected="PATH=VALUE, such as head.dropout=0.3",
                received=repr(assignment),
            )
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        for key in reversed(keys):
            value = {key: value}
        _merge(settings, value)
    return settings


def other_backbone(name: str) -> dict[str, Any]:
    """Returns the settings that put another backbone into a recipe.

    Whether it is frozen, at which size it sees images and what becomes of their pixels
    was decided for the one before, and is decided anew.
    """
    return {
        "backbone": {"name": name, "frozen": "auto"},
        "input": {"size": 0, "normalisation": "own"},
    }


def recipe_paths(model: type[BaseModel] = Recipe, prefix: str = "") -> Iterator[str]:
    """Yields the path of every setting, such as `head.dropout`."""
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from recipe_paths(annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def _merge(into: dict[str, Any], settings: Mapping[str, Any]) -> None:
    for key, value in settings.items():
        below = into.get(key)
        if isinstance(value, BaseModel):
            value = value.model_dump(exclude_unset=True)
        if isinstance(value, Mapping):
            into[key] = dict(below) if isinstance(below, Mapping) else {}
            _merge(into[key], value)
        else:
            into[key] = value


def _recipe_error(error: ValidationError) -> Exception:
    first = error.errors(include_url=False)[0]
    # A union's branches append their own names to the path; the setting is what counts.
    parts = [str(part) for part in first["loc"] if part != "[key]"]
    paths = list(recipe_paths())
    if parts[0] == "tasks":
        task = ".".join(parts[:2])
        paths = [task, *recipe_paths(TaskConfig, f"{task}.")]
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
