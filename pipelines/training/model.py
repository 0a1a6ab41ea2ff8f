"""The model in training: a classifier and the parts of it that phases train."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.runtime.devices import Devices
from pipelines.sources.source import Source
from pipelines.training.data_statistics import fit_normalization, fit_stem
from tuning.optimization.optimizers import build_optimizer
from tuning.optimization.schedules import build_schedule
from zoo.heads.head import initialize_head
from zoo.models.blocks import backbone_of, check_blocks, depth_of, unfreeze_top
from zoo.models.classifier import build_classifier
from zoo.models.multi_task import build_multi_task
from zoo.models.trainable import build_head_model, build_logits_model
from zoo.preprocessing import Normalization


@dataclass(frozen=True)
class TransferModel:
    """A classifier in training.

    Args:
        recipe: The recipe it was built by.
        source: The images it was built for.
        devices: Where it trains.
        normalization: What its pixels go through, fitted.
        classifier: From images float32 [B, S, S, 3] in 0 to 255 to probabilities.
        logits: From the same images to logits; shares every weight with `classifier`.
    """

    recipe: ResolvedRecipe
    source: Source
    devices: Devices
    normalization: Normalization
    classifier: Any
    logits: Any

    def head(self) -> Any:
        """Returns the head alone: from pooled features float32 [B, F] to logits."""
        return build_head_model(self.classifier, tasks=self.source.tasks)

    def unfreeze(self, num_blocks: int) -> None:
        """Makes the backbone's top blocks trainable, from the next `compile` on."""
        unfreeze_top(self.classifier, self.recipe.backbone.name, num_blocks)

    @cached_property
    def depth_of(self) -> Callable[[Any], int]:
        """Maps a variable to its block, counted from 1 at the backbone's top; 0 in the head."""
        return depth_of(self.classifier, self.recipe.backbone.name)

    def finished(self) -> Any:
        """Returns the classifier in float32 on one device, whatever it trained in."""
        import keras

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
        logits = build_logits_model(classifier, frozen=recipe.backbone.frozen, tasks=source.tasks)
    if recipe.fine_tune.blocks:
        check_blocks(classifier, name, recipe.fine_tune.blocks)
    return TransferModel(recipe, source, devices, normalization, classifier, logits)


def _build_classifier(recipe: ResolvedRecipe, source: Source, normalization: Normalization) -> Any:
    options: dict[str, Any] = {
        "frozen": recipe.backbone.frozen,
        "truncate_blocks": recipe.backbone.truncate_blocks,
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
            recipe.optimizer, schedule, rule_of=rules, steps_per_epoch=steps_per_epoch
        ),
        jit_compile=devices.jit_compile,
        **arguments,
    )
    model.optimizer.build(model.trainable_variables)
