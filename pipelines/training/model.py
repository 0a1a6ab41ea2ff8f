"""The model in training: a classifier and the parts of it that phases train."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.runtime.devices import Devices
from pipelines.sources.source import Source
from pipelines.training.data_statistics import fit_normalization, fit_stem
from tuning.optimization.optimizer_config import build_optimizer
from tuning.optimization.schedules import build_schedule
from zoo.heads.head import LOGITS, initialize_head
from zoo.models.blocks import backbone_of, check_blocks, depth_of, head_kernels, unfreeze_top
from zoo.models.classifier import build_classifier
from zoo.models.multi_task import build_multi_task
from zoo.models.standardization import (
    Standardization,
    build_standardization_layer,
    fold_standardization,
    set_statistics,
    statistics_of,
)
from zoo.models.trainable import build_head_model, build_logits_model
from zoo.normalization import Normalization

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class TransferModel:
    """A classifier in training.

    Args:
        recipe: The recipe it was built by.
        source: The images it was built for.
        devices: Where it trains.
        normalization: What its pixels go through, fitted.
        classifier: From images float32 [B, S, S, 3] in 0 to 255 to probabilities.
        logits: From the same images to logits; shares every weight with `classifier`, whose
            head gets standardized features here.
        standardize: The Keras layer that standardizes them; None for none.
    """

    recipe: ResolvedRecipe
    source: Source
    devices: Devices
    normalization: Normalization
    classifier: Any
    logits: Any
    standardize: Any = None

    def head(self) -> Any:
        """Returns the head alone: from pooled features float32 [B, F] to logits."""
        tasks = self.source.tasks
        return build_head_model(self.classifier, tasks=tasks, standardize=self.standardize)

    def fit_standardization(
        self, read_blocks: Callable[[], Iterable[npt.NDArray[np.float32]]]
    ) -> Standardization | None:
        """Computes the mean and the standard deviation of features, if they are standardized.

        Args:
            read_blocks: Returns pooled features of the training images, some at a time, as
                `Standardization.fit_blocks` takes them.

        Returns:
            The statistics; None if features stay as they are.
        """
        if self.standardize is None:
            return None
        statistics = Standardization.fit_blocks(read_blocks)
        set_statistics(self.standardize, statistics)
        return statistics

    def set_linear_head(
        self, kernel: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]
    ) -> None:
        """Sets the weights of a head without hidden layers.

        Args:
            kernel: float32 [F, C], of standardized features where these are standardized.
            bias: float32 [C].
        """
        layer = self.classifier.get_layer(LOGITS)
        layer.kernel.assign(kernel)
        layer.bias.assign(bias)

    @property
    def kernels(self) -> dict[str, npt.NDArray[np.float32]]:
        """The head's kernels by layer, as penalties see them: of standardized features."""
        return head_kernels(self.classifier, self.recipe.backbone.name)

    def unfreeze(self, num_blocks: int) -> None:
        """Makes the backbone's top blocks trainable, from the next `compile` on."""
        unfreeze_top(self.classifier, self.recipe.backbone.name, num_blocks)

    @cached_property
    def depth_of(self) -> Callable[[Any], int]:
        """Maps a variable to its block, counted from 1 at the backbone's top; 0 in the head."""
        return depth_of(self.classifier, self.recipe.backbone.name)

    def finished(self) -> Any:
        """Returns the classifier in float32 on one device, whatever it trained in.

        Its head takes plain features from now on.
        """
        import keras

        if self.standardize is not None:
            fold_standardization(self.classifier, statistics_of(self.standardize))
            width = self.standardize.moving_mean.shape[0]
            set_statistics(self.standardize, Standardization.identity(width))
        if self.devices.precision == "float32" and self.devices.num_replicas == 1:
            return self.classifier
        keras.mixed_precision.set_dtype_policy("float32")
        plain = _build_classifier(self.recipe, self.source, self.normalization)
        plain.set_weights(self.classifier.get_weights())
        return plain


def build_model(
    recipe: ResolvedRecipe, source: Source, devices: Devices, *, fit_first_layers: bool = True
) -> TransferModel:
    """Builds a classifier with seeded weights on the devices.

    Args:
        recipe: Backbone, head, input size, seed.
        source: The training images, which a fitted normalization is computed from.
        devices: Where it trains; the process is made deterministic here.
        fit_first_layers: Whether a backbone with random weights that starts from fitted
            first layers is fitted; a checkpoint restores them instead.

    Raises:
        RecipeError: The backbone has fewer blocks than are to be unfrozen.
        WeightsError: The backbone's weights are absent or not the right file.
    """
    name, preprocessing = recipe.backbone.name, recipe.input.preprocessing
    normalization = fit_normalization(recipe.input.normalization, name, source.train, preprocessing)
    devices.make_deterministic(recipe.seed)
    with devices.scope():
        classifier = _build_classifier(recipe, source, normalization)
        if fit_first_layers:
            backbone = backbone_of(classifier, name)
            fit_stem(backbone, name, normalization, source.train, preprocessing)
        devices.synchronize_batch_norm(classifier)
        frozen = recipe.backbone.frozen
        standardize = build_standardization_layer() if frozen and recipe.train.standardize else None
        logits = build_logits_model(
            classifier, frozen=frozen, tasks=source.tasks, standardize=standardize
        )
    if recipe.fine_tune.blocks:
        check_blocks(classifier, name, recipe.fine_tune.blocks)
    return TransferModel(recipe, source, devices, normalization, classifier, logits, standardize)


def _build_classifier(recipe: ResolvedRecipe, source: Source, normalization: Normalization) -> Any:
    options: dict[str, Any] = {
        "frozen": recipe.backbone.frozen,
        "truncate_blocks": recipe.backbone.truncate_blocks,
        "levels": recipe.backbone.levels,
        "symmetry": recipe.backbone.symmetry,
        "normalization": normalization,
    }
    name, size, head = recipe.backbone.name, recipe.input.size, recipe.head
    tasks = source.tasks
    if tasks[0].bare:
        model = build_classifier(name, tasks[0].num_outputs, size=size, head=head, **options)
    else:
        hidden = {task: config.hidden for task, config in recipe.tasks.items()}
        model = build_multi_task(name, size, head, tasks, hidden=hidden, **options)
    initialize_head(model.layers, recipe.seed)
    return model


def compile_model(
    model: Any,
    recipe: ResolvedRecipe,
    devices: Devices,
    *,
    learning_rate: float,
    num_epochs: int,
    steps_per_epoch: int,
    rules: Any,
    **arguments: Any,
) -> None:
    """Compiles a model with the recipe's optimizer, and builds the optimizer's variables.

    Args:
        model: A Keras model, in the devices' scope.
        recipe: Optimizer and schedule.
        devices: Whether steps are compiled by XLA.
        learning_rate: The highest rate of the schedule.
        num_epochs: Epochs of the schedule.
        steps_per_epoch: Batches an epoch.
        rules: What `build_rules` returned: how each variable is penalized and scaled.
        **arguments: Losses and metrics, as `keras.Model.compile` takes them.
    """
    schedule = build_schedule(
        recipe.schedule, learning_rate, steps_per_epoch * num_epochs, steps_per_epoch
    )
    model.compile(
        optimizer=build_optimizer(
            recipe.optimizer.by_gradient_steps,
            schedule,
            rule_of=rules,
            steps_per_epoch=steps_per_epoch,
        ),
        jit_compile=devices.jit_compile,
        **arguments,
    )
    model.optimizer.build(model.trainable_variables)
