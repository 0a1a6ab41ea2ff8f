"""Sections of a recipe: the images, the backbone, the first phase and the second."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from pipelines.input_pipeline.order import Oversample
from pipelines.sources.config import DataConfig
from tuning.optimization.losses import LOSSES
from zoo.backbones.catalog import resolve
from zoo.config import Config


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
        truncate_blocks: How many of its blocks are left out, from the top. What is low in a
            network is general: where the images are unlike those it was trained on, the
            features of a lower block are often the better ones.
    """

    name: str = "mobilenet_v2.imagenet"
    frozen: bool | Literal["auto"] = "auto"
    truncate_blocks: Annotated[int, Field(ge=0)] = 0

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
        with_validation: Whether validation images are trained on like the others, once
            everything has been chosen by them. Nothing is validated then: training goes
            to its last epoch, whose weights are kept.
    """

    epochs: Annotated[int, Field(ge=1)] = 30
    loss: str = "cross_entropy"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    focal_gamma: Annotated[float, Field(ge=0, le=10)] = 2.0
    class_weights: Literal["none", "balanced"] = "none"
    oversample: Oversample = "none"
    with_validation: bool = False

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
