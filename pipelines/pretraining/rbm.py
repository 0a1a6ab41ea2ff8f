"""Pretraining by restricted Boltzmann machines: dense layers, one by one, without labels.

Reference: Hinton, Osindero and Teh, 2006, https://doi.org/10.1162/neco.2006.18.7.1527
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.input_pipeline.datasets import build_image_dataset
from pipelines.pretraining.unlabeled import TrainedRestorer, pretrain_unlabeled
from pipelines.recipe.recipe import Recipe
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.runtime.devices import Devices
from pipelines.sources.source import Examples, Source
from pipelines.storage.checkpoint import Checkpoint, History
from pipelines.storage.run_folder import RunFolder
from tuning.boltzmann_machines import BoltzmannStack
from zoo.backbones.catalog import BACKBONES, build_backbone, resolve
from zoo.errors import RecipeError, TrainingError

logger = logging.getLogger(__name__)


def pretrain_rbm(data: str | Path | None, recipe: Recipe, out: Path, *, resume: bool) -> Path:
    """Trains a dense backbone as stacked restricted Boltzmann machines, and writes it.

    Each layer trains for `train.epochs` epochs, in steps of `optimizer.learning_rate` on
    batches of `input.batch_size` images.

    Args:
        data: As `pipelines.pretraining.pretrain.pretrain` takes it; one folder will do.
        recipe: Checked there.
        out: The run folder.
        resume: As `pretrain` takes it.

    Returns:
        The file written.

    Raises:
        RecipeError: The backbone has layers other than dense sigmoid ones, starts from
            weights, or the recipe asks for augmentation or another optimizer.
        ZooError: Whatever `train` raises.
    """
    row, weights = resolve(recipe.backbone.name)
    if not row.boltzmann_layers or weights is not None:
        fitting = " or ".join(name for name, other in BACKBONES.items() if other.boltzmann_layers)
        raise RecipeError(
            "Boltzmann machines train dense layers from random weights",
            expected=f"backbone.name = {fitting!r}",
            received=repr(recipe.backbone.name),
            mend="--method autoencoder trains any backbone",
        )
    if recipe.augment.policy or recipe.optimizer.name != "sgd":
        raise RecipeError(
            "Boltzmann machines take plain gradient steps on images without augmentation",
            expected="augment.policy = 'none' and optimizer.name = 'sgd'",
            received=f"augment.policy = '{recipe.augment}', "
            f"optimizer.name = {recipe.optimizer.name!r}",
            mend="start from the preset: leave --recipe out",
        )
    return pretrain_unlabeled(data, recipe, out, _fit, resume=resume)


def _fit(
    folder: RunFolder, recipe: ResolvedRecipe, source: Source, devices: Devices
) -> TrainedRestorer:
    """Trains the machines, from their checkpoint on where there is one."""
    row, _ = resolve(recipe.backbone.name)
    network = build_backbone(recipe.backbone.name, recipe.input.size)
    layers = [network.get_layer(name) for name in row.boltzmann_layers]
    pixels, val_pixels = _read_pixels(source.train, recipe), _read_pixels(source.val, recipe)
    stack = BoltzmannStack(
        pixels,
        [layer.units for layer in layers],
        learning_rate=recipe.optimizer.learning_rate,
        batch_size=recipe.input.batch_size,
        seed=recipe.seed,
    )
    checkpoint = folder.load_checkpoint(source)
    history: History = []
    if checkpoint is not None:
        history = checkpoint.history
        stack.restore(checkpoint.named)
        logger.info(f"resuming after epoch {len(history)}")
    folder.begin(recipe, source.tasks)
    epochs, names = recipe.train.epochs, row.boltzmann_layers
    for number in range(len(history), epochs * len(names)):
        started = time.perf_counter()
        layer, epoch = divmod(number, epochs)
        stack.train_epoch(layer, epoch)
        loss, val_loss = _squared_error(stack, pixels), _squared_error(stack, val_pixels)
        if not np.isfinite([loss, val_loss]).all():
            raise TrainingError(
                f"the loss of {names[layer]} is not a number in epoch {epoch + 1}",
                expected="a finite loss",
                mend="lower optimizer.learning_rate",
            )
        wall_s = round(time.perf_counter() - started, 3)
        history.append(
            {
                "epoch": number + 1,
                "phase": names[layer],
                "loss": loss,
                "val_loss": val_loss,
                "learning_rate": recipe.optimizer.learning_rate,
                "wall_s": wall_s,
            }
        )
        folder.save_history(history)
        folder.save_checkpoint(
            Checkpoint(
                epoch=number,
                history=history,
                data_digest=source.digest,
                phase=layer,
                named=stack.state(),
            )
        )
        logger.info(
            f"epoch {epoch + 1}/{epochs} {names[layer]}: restoration error {loss**0.5:.4f}; "
            f"val restoration error {val_loss**0.5:.4f} ({wall_s:.1f} s)"
        )
    for layer, (kernel, bias) in zip(layers, stack.weights(), strict=True):
        layer.set_weights([kernel, bias])

    def restore(images: Any) -> Any:
        return stack.reconstruct(images.reshape(len(images), -1) / 255).reshape(images.shape)

    return TrainedRestorer(network, restore, sum(float(row["wall_s"]) for row in history))


def _read_pixels(examples: Examples, recipe: ResolvedRecipe) -> Any:
    """Returns a split as float32 [N, S × S × 3] in 0 to 1."""
    batches = build_image_dataset(examples, recipe.input.preprocessing, 256)
    images = np.concatenate(list(batches.as_numpy_iterator()))
    return images.reshape(len(images), -1).astype(np.float32) / 255


def _squared_error(stack: BoltzmannStack, pixels: Any) -> float:
    return float(np.mean(np.square(stack.reconstruct(pixels) - pixels, dtype=np.float64)))
