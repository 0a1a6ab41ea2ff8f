"""Sections of a recipe: `data`, `backbone`, `train`, `fine_tune`, and those of the answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from pipelines.input_pipeline.order import Oversample
from pipelines.sources.config import DataConfig
from tuning.optimization.losses import LOSSES
from zoo.backbones.catalog import resolve
from zoo.config import Config
from zoo.models.symmetry import SYMMETRIES

WITHOUT_FILES = "without files"
"""Key of a validation's context: files that the recipe names may be absent."""


class RecipeData(DataConfig):
    """Which images, and how they are split.

    Args:
        source: DATA as the command line takes it; a relative path is relative to the
            working folder. None leaves the data set to the command.
    """

    source: str | None = None


class BackboneConfig(Config):
    """The network below the head.

    Args:
        name: An architecture (random weights), `architecture.tag`, the path of a file that
            `zoo pretrain` wrote, or a preset of KerasHub, `kerashub:FOLDER`, which is
            recorded with its absolute path.
        frozen: Whether the weights stay fixed while the head trains; `auto` freezes
            pretrained weights and trains random ones.
        truncate_blocks: Blocks to remove from the top. Lower layers are more general
            (Yosinski et al., 2014, https://arxiv.org/abs/1411.1792): for images unlike
            those of pretraining, their features are often better.
        levels: Feature maps that the head reads, from the top down: 1 for the backbone's
            output alone; with n, also those of the n - 1 next places where it can be
            truncated, pooled and side by side (Evci et al., 2022,
            https://arxiv.org/abs/2201.03529). They come from the same pass. `auto` compares
            linear heads on 1 and on all within three blocks of the top, where a linear head is
            fitted to the features of few images; elsewhere it is 1.
        symmetry: Over which views of an image its features are averaged, in training and in
            every answer, a row of SYMMETRIES: `mirror` adds the image's mirror image, `flips`
            both turned upside down, `square` all of these turned by a quarter. The model then
            gives an image and its mirror image the same answer, and runs the backbone 2, 4 or 8
            times for it.
    """

    name: str = "efficientnet_lite0.imagenet"
    frozen: bool | Literal["auto"] = "auto"
    truncate_blocks: Annotated[int, Field(ge=0)] = 0
    levels: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    symmetry: str = "none"

    @field_validator("symmetry")
    @classmethod
    def _is_symmetry(cls, name: str) -> str:
        return SYMMETRIES[name].name

    @field_validator("name")
    @classmethod
    def _known(cls, name: str, info: ValidationInfo) -> str:
        if info.context and info.context.get(WITHOUT_FILES):
            return name
        _, weights = resolve(name)
        return weights.name if weights else name


class TrainConfig(Config):
    """Epochs, loss and class balance of the first phase.

    Args:
        epochs: Epochs, at most; left out, 30, or 200 iterations of `lbfgs`.
        standardize: Whether the features of a frozen backbone reach the head centered and
            scaled by their mean and standard deviation over the training images. A saved model
            holds none of it: its first kernel takes plain features.
        loss: A row of LOSSES for classes: `cross_entropy` or `focal`.
        label_smoothing: Fraction of the target that is spread over all classes, 0 to below
            1 (Szegedy et al., 2016, https://arxiv.org/abs/1512.00567).
        focal_gamma: Focusing parameter of the focal loss, which lowers the weight of
            well-classified images; 0 is cross-entropy (Lin et al., 2017,
            https://arxiv.org/abs/1708.02002).
        class_weights: `balanced` weights a class by N / (C × N_class), so that every class
            contributes the same to the loss.
        oversample: `balanced` repeats images of rare classes, augmented anew, until an
            epoch has as many images of every class as of the most frequent one.
        with_validation: Whether validation images are used for training, after all choices
            were made by them. Nothing is validated then, and the last epoch's weights are
            kept.
        folds: 0, or 2 and more: training and validation images together are divided into so
            many stratified folds, a linear head is fitted to convergence without each of them,
            and the run's head is the mean of these, no larger than one of them. All of these
            images are then the validation images, each answered by the head that has not seen
            it; so are calibration and prediction sets made (cross-fitting; Breiman, 1996,
            https://doi.org/10.1007/BF00117832, stacks such answers). `auto` is 5, or as many as
            the rarest class has images, where the head is such a one, the data set has no
            validation split of its own, `data.val_fraction` has its usual value and would give
            fewer than 1,000 images, and `data.train_per_class` limits nothing.
    """

    epochs: Annotated[int, Field(ge=1)] | None = None
    standardize: bool = True
    loss: str = "cross_entropy"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    focal_gamma: Annotated[float, Field(ge=0, le=10)] = 2.0
    class_weights: Literal["none", "balanced"] = "none"
    oversample: Oversample = "none"
    with_validation: bool = False
    folds: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"

    @field_validator("loss")
    @classmethod
    def _for_classes(cls, name: str) -> str:
        if LOSSES[name].kind != "single_label":
            raise ValueError(f"a loss for classes; {name} is for {LOSSES[name].kind} tasks")
        return name

    @model_validator(mode="after")
    def _holds_out_something(self) -> TrainConfig:
        if self.folds == 1:
            raise ValueError("folds = 1 leaves nothing to train on; expected 0, or 2 and more")
        if self.folds not in (0, "auto") and self.with_validation:
            raise ValueError(
                "folds train on the validation images already; expected with_validation = false"
            )
        return self

    @model_validator(mode="after")
    def _balances_once(self) -> TrainConfig:
        if self.class_weights == self.oversample == "balanced":
            raise ValueError(
                "class_weights and oversample both compensate for rare classes, which would count "
                "twice; expected one of them to be none"
            )
        return self


class FineTuneConfig(Config):
    """The optional second phase: the head and the backbone's top blocks train together.

    Args:
        blocks: Blocks to unfreeze, counted from the top; 0 skips the phase.
        epochs: Epochs of the phase, at most.
        learning_rate: Learning rate of the head, far below that of the first phase.
        block_decay: Ratio of a block's learning rate to that of the block above it, above
            0; 1 gives all blocks the same. Lower blocks are more general and should change
            least; Howard and Ruder, 2018, https://arxiv.org/abs/1801.06146, divide by 2.6.
        gradual: Epochs between unfreezing one block and the next, from the top; each block
            begins a phase. 0 unfreezes all blocks at once.
        maps: Whether the maps that enter the unfrozen blocks are computed once, in the plain view
            and in `features.views` augmented ones, and the blocks train on these: kept as
            `float16` or `float32`. `none` sends every image through the whole network in every
            epoch, augmented anew. `auto` takes float16 where there are fewer views than epochs
            and the disk space of `features.cache_gib` suffices.
    """

    blocks: Annotated[int, Field(ge=0)] = 0
    epochs: Annotated[int, Field(ge=1)] = 10
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.0005
    block_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    gradual: Annotated[int, Field(ge=0)] = 0
    maps: Literal["auto", "float16", "float32", "none"] = "auto"

    @model_validator(mode="after")
    def _has_epochs_for_every_block(self) -> FineTuneConfig:
        needed = self.gradual * (self.blocks - 1) + 1
        if self.epochs < needed:
            raise ValueError(
                f"blocks = {self.blocks} with gradual = {self.gradual} never unfreezes the last; "
                f"expected epochs of at least {needed}, not {self.epochs}"
            )
        return self


class CalibrationConfig(Config):
    """Whether probabilities are calibrated once training has ended.

    Where validation images were trained on (`train.with_validation`), nothing is calibrated;
    neither are the trials of a search. With `train.folds` the answers of the heads of other folds
    are what a temperature is fitted to.

    Args:
        method: `temperature` divides the logits of each task of classes or labels by one
            number, fitted to the validation images by log loss (Guo et al., 2017,
            https://arxiv.org/abs/1706.04599), and leaves every predicted class as it is.
            `auto` does so where there are 50 validation images or more and, on folds of
            them, the log loss falls by more than 0.01 nats and by more than the standard
            error of the difference. `vector` gives each logit a factor and a shift of its own,
            whatever they do: for many validation images, and classes that are named too often
            or too seldom; predicted classes may change. `none` leaves the probabilities as they
            are. The saved model has no layer more: the kernel and the bias of its logits change.
    """

    method: Literal["auto", "none", "temperature", "vector"] = "auto"


class UnknownConfig(Config):
    """Whether a classifier says that an image is none of its classes.

    No predicted class changes by it: an image gets a score beside its probabilities, and counts
    as unknown where the score is above 1. The score is how far its features, which the head
    reads, are from those of the training images.

    Args:
        method: `neighbors` measures the cosine distance to the fifth nearest of up to 2,000
            training images (Sun et al., 2022, https://arxiv.org/abs/2204.06507); `mahalanobis`
            that to the nearest mean of a class, in units of the spread within classes (Lee et
            al., 2018, https://arxiv.org/abs/1807.03888). `auto` is `neighbors` for a plain
            classifier with 50 images or more to set the threshold by, and nothing for several
            tasks; `none` is nothing.
        share: Share of images of the known classes that count as unknown, above 0: so many of
            the images that set the threshold have a higher score. With less, more foreign images
            count as known.
    """

    method: Literal["auto", "none", "mahalanobis", "neighbors"] = "auto"
    share: Annotated[float, Field(gt=0, le=0.5)] = 0.05


class DecisionConfig(Config):
    """Which classes or labels of an image count as the answer, by their probabilities.

    No probability changes by it. It is fitted to the validation images, or with `train.folds` to
    all images by the heads of other folds; where validation images were trained on
    (`train.with_validation`), there is nothing of it.

    Args:
        sets: How every image gets a prediction set, the classes that it may be of:
            `least_ambiguous` takes each class above one probability, which gives the smallest sets
            on average (Sadinle et al., 2019, https://arxiv.org/abs/1609.00451); `adaptive` takes
            the likeliest classes up to a sum of probabilities, which gives larger sets for harder
            images (Romano et al., 2020, https://arxiv.org/abs/2006.02544). `auto` is
            `least_ambiguous` with 50 validation images or more; `none` is nothing.
        error_rate: Share of new images whose class is not in their set, above 0. Sets of fewer
            than 1 / `error_rate` − 1 validation images hold every class.
        thresholds: How the probability is found from which on a label of a `multi_label` task is
            predicted: `f1` takes the one with the highest F1 for each label that 10 images have
            and 10 lack (Lipton et al., 2014, https://arxiv.org/abs/1402.1892); `auto` is `f1` with
            50 validation images or more; `none` leaves it at a half.
    """

    sets: Literal["auto", "none", "least_ambiguous", "adaptive"] = "auto"
    error_rate: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    thresholds: Literal["auto", "none", "f1"] = "auto"
