"""RBM pretraining: a dense network learns layer by layer; labels are not read."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.input_pipeline.datasets import build_image_dataset
from pipelines.pretraining.unlabeled import Restored, pretrain_unlabeled
from pipelines.recipe.recipe import Recipe
from pipelines.runtime.devices import Devices
from pipelines.sources.source import Examples, Source
from pipelines.storage.run_folder import RunFolder
from pipelines.training.loop import load_checkpoint
from tuning.boltzmann_machines import BoltzmannStack
from zoo.backbones.catalog import BACKBONES, build_backbone, resolve
from zoo.errors import RecipeError, TrainingError

logger = logging.getLogger(__name__)


def pretrain_rbm(data: str | Path, recipe: Recipe, out: Path, *, resume: bool) -> Path:
    """Trains a dense backbone as stacked restricted Boltzmann machines, and writes it.

    `train.epochs` are those of each layer; `optimizer.learning_rate` and
    `input.batch_size` are those of its steps.

    Args:
        data: As `pipelines.pretraining.pretrain.pretrain` takes it; one class folder will do.
        recipe: Checked there.
        out: The run's directory.
        resume: Likewise.

    Returns:
        The file written.

    Raises:
        RecipeError: The backbone is not made of dense sigmoid layers, has weights, or
            the recipe asks for what the machines cannot do.
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
            "Boltzmann machines see images as they are, and take plain steps",
            expected="augment.policy = 'none' and optimizer.name = 'sgd'",
            received=f"augment.policy = '{recipe.augment}', "
            f"optimizer.name = {recipe.optimizer.name!r}",
            mend="start from the preset: leave --recipe out",
        )
    return pretrain_unlabeled(data, recipe, out, _fit, resume=resume)


def _fit(run: RunFolder, recipe: Recipe, source: Source, devices: Devices) -> Restored:
    """Trains the machines; returns the network made of them and what they restore."""
    row, _ = resolve(recipe.backbone.name)
    network = build_backbone(recipe.backbone.name, recipe.input.size)
    layers = [network.get_layer(name) for name in row.boltzmann_layers]
    rate = recipe.optimizer.learning_rate
    if rate is None:
        raise ValueError("The recipe has to be completed first.")
    pixels, judged = _pixels(source.train, recipe), _pixels(source.val, recipe)
    stack = BoltzmannStack(
        pixels,
        [layer.units for layer in layers],
        learning_rate=rate,
        batch_size=recipe.input.batch_size,
        seed=recipe.seed,
    )
    checkpoint, history = load_checkpoint(run, source), []
    if checkpoint is not None:
        history = checkpoint[0]["history"]
        stack.load(checkpoint[1])
        logger.info(f"taking up after epoch {len(history)}")
    run.begin(recipe, source.tasks)
    epochs, names = recipe.train.epochs, row.boltzmann_layers
    for done in range(len(history), epochs * len(names)):
        started = time.perf_counter()
        layer, epoch = divmod(done, epochs)
        stack.train_epoch(layer, epoch)
        loss, val_loss = _squares(stack, pixels), _squares(stack, judged)
        if not np.isfinite([loss, val_loss]).all():
            raise TrainingError(
                f"the machine of {names[layer]} is no longer a number",
                expected="finite weights",
                mend="lower optimizer.learning_rate",
            )
        figures = {"loss": loss, "val_loss": val_loss, "learning_rate": rate}
        wall_s = round(time.perf_counter() - started, 3)
        history.append({"epoch": done + 1, "phase": names[layer], **figures, "wall_s": wall_s})
        run.save_history(history)
        run.save_checkpoint({"history": history, "data": source.digest}, stack.state())
        logger.info(
            f"epoch {epoch + 1}/{epochs} {names[layer]}: restored to {loss**0.5:.4f}; "
            f"val restored to {val_loss**0.5:.4f} ({wall_s:.1f} s)"
        )
    for layer, (kernel, bias) in zip(layers, stack.weights(), strict=True):
        layer.set_weights([kernel, bias])

    def restore(images: Any) -> Any:
        return stack.restore(images.reshape(len(images), -1) / 255).reshape(images.shape)

    return Restored(network, restore, sum(float(row["wall_s"]) for row in history))


def _pixels(examples: Examples, recipe: Recipe) -> Any:
    """Returns a split as float32 [N, S × S × 3] in 0 to 1."""
    batches = build_image_dataset(examples, recipe.input.preprocessing, 256)
    images = np.concatenate(list(batches.as_numpy_iterator()))
    return images.reshape(len(images), -1).astype(np.float32) / 255


def _squares(stack: BoltzmannStack, pixels: Any) -> float:
    return float(np.mean(np.square(stack.restore(pixels) - pixels, dtype=np.float64)))
