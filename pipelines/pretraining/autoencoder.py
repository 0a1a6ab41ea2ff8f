"""Autoencoder pretraining: a backbone learns to restore images, without labels.

Reference: Vincent et al., 2008, https://doi.org/10.1145/1390156.1390294
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.input_pipeline.datasets import build_image_dataset
from pipelines.pretraining.corruption import corrupt
from pipelines.pretraining.unlabeled import TrainedRestorer, pretrain_unlabeled
from pipelines.recipe.compatibility import check_devices, check_steps
from pipelines.recipe.recipe import Recipe
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.runtime.devices import Devices
from pipelines.sources.source import Source
from pipelines.storage.run_folder import RunFolder
from pipelines.training.data_statistics import fit_normalization, fit_stem, take_evenly
from pipelines.training.feeds import ImageFeed, build_recipe_order
from pipelines.training.loop import TrainingLoop
from pipelines.training.model import compile_model
from tuning.optimization.optimizer_config import build_rules
from zoo.errors import RecipeError
from zoo.models.autoencoder import build_autoencoder, fit_batch_norm_statistics
from zoo.models.blocks import backbone_of

_MIN_STATISTICS_BATCH = 64
"""Images a batch, at least, when batch normalization's statistics are computed again."""


def pretrain_autoencoder(
    data: str | Path | None, recipe: Recipe, out: Path, *, resume: bool
) -> Path:
    """Trains a backbone to restore images from corrupted ones, and writes it.

    The recipe's augmentation applies to the image to be restored; noise and masked squares
    corrupt it.

    Args:
        data: As `pipelines.pretraining.pretrain.pretrain` takes it; one folder will do.
        recipe: Checked there.
        out: The run folder.
        resume: As `pretrain` takes it.

    Returns:
        The file written.

    Raises:
        RecipeError: The policy blends images, or early stopping monitors accuracy.
        ZooError: Whatever `train` raises.
    """
    if recipe.augment.blends:
        raise RecipeError(
            "an autoencoder cannot restore two images from their blend",
            expected="a policy without mixup and cutmix",
            received=str(recipe.augment),
            mend="--set augment.policy=photo",
        )
    if recipe.stopping.monitor != "val_loss":
        raise RecipeError(
            "restored images have no accuracy to monitor",
            expected="stopping.monitor = 'val_loss'",
            received=repr(recipe.stopping.monitor),
            mend="--set stopping.monitor=val_loss",
        )
    return pretrain_unlabeled(data, recipe, out, _fit, resume=resume)


def _fit(
    folder: RunFolder, recipe: ResolvedRecipe, source: Source, devices: Devices
) -> TrainedRestorer:
    """Trains the autoencoder, from its checkpoint on where there is one."""
    order = build_recipe_order(recipe, source, devices.num_replicas)
    steps = order.steps_per_epoch
    last = recipe.train.epochs
    check_devices(recipe.optimizer, devices.num_replicas)
    check_steps(recipe.optimizer, steps * last)
    loop = TrainingLoop(recipe, source, _describe, folder=folder)
    devices.make_deterministic(recipe.seed)
    name, images = recipe.backbone.name, (source.train, recipe.input.preprocessing)
    with devices.scope():
        model = build_autoencoder(name, recipe.input.size)
        if loop.checkpoint is None:
            own = fit_normalization("own", name, *images)
            fit_stem(backbone_of(model, name), name, own, *images)
        devices.synchronize_batch_norm(model)
        compile_model(
            model,
            recipe,
            devices,
            learning_rate=recipe.optimizer.learning_rate,
            num_epochs=last,
            steps_per_epoch=steps,
            rules=build_rules(recipe.optimizer, recipe.penalty),
            loss="mean_squared_error",
        )
    folder.begin(recipe, source.tasks)
    first = 0
    if loop.checkpoint is not None:
        loop.restore(model)
        first = loop.checkpoint.epoch + 1
    if first < last and not loop.stopping.stopped:
        feed = ImageFeed(recipe, source, order)
        stream = feed.train(first)
        corruption: dict[str, Any] = {"config": recipe.pretraining, "seed": recipe.seed}
        loop.fit(
            model,
            replace(stream, dataset=corrupt(stream.dataset, first=first * steps, **corruption)),
            corrupt(feed.validation, **corruption),
            phase="autoencoder",
            first=first,
            last=last,
        )
    loop.stopping.restore_best(model)
    model = _with_clean_statistics(model, recipe, source, devices)
    return TrainedRestorer(backbone_of(model, name), model.predict_on_batch, loop.fit_s)


def _with_clean_statistics(
    model: Any, recipe: ResolvedRecipe, source: Source, devices: Devices
) -> Any:
    """Returns the model in float32 on one device, its statistics those of clean images."""
    import keras

    if devices.precision != "float32" or devices.num_replicas > 1:
        keras.mixed_precision.set_dtype_policy("float32")
        plain = build_autoencoder(recipe.backbone.name, recipe.input.size)
        plain.set_weights(model.get_weights())
        model = plain
    batch_size = max(recipe.input.batch_size, _MIN_STATISTICS_BATCH)
    images = build_image_dataset(take_evenly(source.train), recipe.input.preprocessing, batch_size)
    # It trained on corrupted images, and whoever starts from it shows clean ones.
    fit_batch_norm_statistics(model, images.as_numpy_iterator())
    return model


def _describe(logs: Mapping[str, Any], prefix: str) -> str:
    return f"restoration error {math.sqrt(logs[f'{prefix}loss']):.4f}"
