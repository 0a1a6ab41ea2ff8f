"""Autoencoder pretraining: a backbone learns to restore images; labels are not read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.input_pipeline.datasets import build_image_dataset
from pipelines.input_pipeline.order import num_places, steps_per_epoch
from pipelines.pretraining.corruption import spoil
from pipelines.pretraining.unlabeled import Restored, pretrain_unlabeled
from pipelines.recipe.compatibility import check_devices, check_steps
from pipelines.recipe.recipe import Recipe
from pipelines.runtime.devices import Devices
from pipelines.sources.source import Source
from pipelines.storage.run_folder import RunFolder
from pipelines.training.data_statistics import fit_normalization, fit_stem, spread
from pipelines.training.feeds import ImageFeed
from pipelines.training.loop import Epochs
from tuning.optimization.optimizers import build_optimizer, build_rules
from tuning.optimization.schedules import build_schedule
from zoo.errors import RecipeError
from zoo.models.autoencoder import build_autoencoder, fit_batch_norm_statistics
from zoo.models.classifier import backbone_of

# Images that normalize each other well enough for their statistics to be kept.
_LARGE_BATCH = 64


def pretrain_autoencoder(data: str | Path, recipe: Recipe, out: Path, *, resume: bool) -> Path:
    """Trains a backbone to restore images from spoilt ones, and writes it.

    What the recipe says of augmentation is done to the image to be restored; noise and
    hidden squares are what it is restored from.

    Args:
        data: As `pipelines.pretraining.pretrain.pretrain` takes it; one class folder will do.
        recipe: Checked there.
        out: The run's directory.
        resume: Likewise.

    Returns:
        The file written.

    Raises:
        RecipeError: The recipe blends images, or waits for an accuracy.
        ZooError: Whatever `train` raises.
    """
    if recipe.augment.blends:
        raise RecipeError(
            "an autoencoder cannot make two images of one that was blended of them",
            expected="a policy without mixup and cutmix",
            received=str(recipe.augment),
            mend="--set augment.policy=photo",
        )
    if recipe.stopping.monitor != "val_loss":
        raise RecipeError(
            "restored images have no accuracy to wait for",
            expected="stopping.monitor = 'val_loss'",
            received=repr(recipe.stopping.monitor),
            mend="--set stopping.monitor=val_loss",
        )
    return pretrain_unlabeled(data, recipe, out, _fit, resume=resume)


def _fit(run: RunFolder, recipe: Recipe, source: Source, devices: Devices) -> Restored:
    """Trains the autoencoder; returns its backbone and what it restores."""
    places = num_places(source.train.labels, recipe.train.oversample)
    steps = steps_per_epoch(places, recipe.input.batch_size, devices.num_replicas)
    last = recipe.train.epochs
    check_devices(recipe.optimizer, devices.num_replicas)
    check_steps(recipe.optimizer, steps * last)
    epochs = Epochs(run, recipe, source, _in_words)
    devices.make_deterministic(recipe.seed)
    name, images = recipe.backbone.name, (source.train, recipe.input.preprocessing)
    with devices.scope():
        model = build_autoencoder(name, recipe.input.size)
        if epochs.checkpoint is None:
            own = fit_normalization("own", name, *images)
            fit_stem(backbone_of(model, name), name, own, *images)
        devices.synchronize_batch_norm(model)
        _compile(model, recipe, devices, steps)
    run.begin(recipe, source.tasks)
    first = 0
    if epochs.checkpoint is not None:
        epochs.restore(model)
        first = epochs.checkpoint[0]["epoch"] + 1
    if first < last and not epochs.stopping.stopped:
        feed = ImageFeed(recipe, source, devices.num_replicas)
        stream = feed.train(first)
        how: Any = {"config": recipe.pretraining, "seed": recipe.seed}
        epochs.fit(
            model,
            replace(stream, dataset=spoil(stream.dataset, first=first * steps, **how)),
            spoil(feed.validation, **how),
            phase="autoencoder",
            first=first,
            last=last,
        )
    epochs.stopping.restore_best(model)
    model = _as_shipped(model, recipe, source, devices)
    return Restored(backbone_of(model, name), model.predict_on_batch, epochs.fit_s)


def _compile(model: Any, recipe: Recipe, devices: Devices, steps: int) -> None:
    rate = recipe.optimizer.learning_rate
    if rate is None:
        raise ValueError("The recipe has to be completed first.")
    schedule = build_schedule(recipe.schedule, rate, steps * recipe.train.epochs, steps)
    rules = build_rules(recipe.optimizer, recipe.penalty)
    model.compile(
        optimizer=build_optimizer(recipe.optimizer, schedule, rule_of=rules, steps_per_epoch=steps),
        loss="mean_squared_error",
        jit_compile=devices.jit_compile,
    )
    model.optimizer.build(model.trainable_variables)


def _as_shipped(model: Any, recipe: Recipe, source: Source, devices: Devices) -> Any:
    """Returns the same in float32 on one device, with the statistics of images as they are."""
    import keras

    if devices.precision != "float32" or devices.num_replicas > 1:
        keras.mixed_precision.set_dtype_policy("float32")
        plain = build_autoencoder(recipe.backbone.name, recipe.input.size)
        plain.set_weights(model.get_weights())
        model = plain
    batch_size = max(recipe.input.batch_size, _LARGE_BATCH)
    images = build_image_dataset(spread(source.train), recipe.input.preprocessing, batch_size)
    # It was trained on spoilt images, and will be shown others.
    fit_batch_norm_statistics(model, images.as_numpy_iterator())
    return model


def _in_words(logs: Mapping[str, Any], prefix: str) -> str:
    return f"restored to {math.sqrt(logs[f'{prefix}loss']):.4f}"
