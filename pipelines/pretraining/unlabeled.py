"""What pretraining without labels has in common: images in, a backbone and its card out."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.input_pipeline.datasets import build_image_dataset
from pipelines.pretraining.model_card import write_backbone
from pipelines.recipe.recipe import Recipe
from pipelines.runtime.devices import Devices, prepare_devices, quiet_start
from pipelines.sources.source import Examples, Source
from pipelines.storage.run_folder import RunFolder
from pipelines.training.prepare import claim_run, open_images
from zoo.weights.archive import round_kernels

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Restored:
    """A backbone that was trained to restore images.

    Args:
        network: Its model.
        restore: Maps a batch of images, float32 [B, S, S, 3] in 0 to 255, to what it
            makes of them, float32 [B, S, S, 3] in 0 to 1.
        fit_s: Seconds of training, those before an interruption included.
    """

    network: Any
    restore: Callable[[Any], Any]
    fit_s: float


Fit = Callable[[RunFolder, Recipe, Source, Devices], Restored]


def pretrain_unlabeled(
    data: str | Path, recipe: Recipe, out: Path, fit: Fit, *, resume: bool
) -> Path:
    """Trains a backbone on images alone, measures what it restores, and writes it.

    Args:
        data: DATA as the command line takes it; empty takes the recipe's.
        recipe: What to do.
        out: The run's directory, new unless `resume`.
        fit: Trains, or goes on with it.
        resume: Go on where an interrupted run stood.

    Returns:
        The file written.

    Raises:
        DataError: The images cannot be trained on.
        RunError: `out` is taken, or was made by another recipe or from other images.
    """
    started = time.perf_counter()
    run, recipe = claim_run(data, recipe, out, resume=resume)
    if run.pretrained_file.is_file():
        logger.info(f"{run.path} is finished already")
        return run.pretrained_file
    with quiet_start():
        devices = prepare_devices(recipe.device)
    source = open_images(recipe, data or recipe.data.source, labeled=False)
    logger.info(f"pretraining on {devices.description}")
    restored = fit(run, recipe, source, devices)
    run.save_digests({name: examples.digests for name, examples in source.splits.items()})
    round_kernels(restored.network)
    errors = {
        name: _restoration_error(restored, recipe, examples)
        for name, examples in source.splits.items()
    }
    counts = {name: len(examples) for name, examples in source.splits.items()}
    run.save_metrics(
        {
            **{name: {"restoration_error": error} for name, error in errors.items()},
            "timing": {
                "wall_s": round(time.perf_counter() - started, 3),
                "fit_s": round(restored.fit_s, 3),
            },
            "device": devices.description,
            "images": {**counts, "skipped": len(source.skipped)},
        }
    )
    logger.info(", ".join(f"{name} restored to {error:.4f}" for name, error in errors.items()))
    split = "val" if source.test is None else "test"
    return write_backbone(
        run,
        restored.network,
        split=split,
        num_images=counts[split],
        restoration_error=errors[split],
    )


def _restoration_error(restored: Restored, recipe: Recipe, examples: Examples) -> float:
    """Returns the root mean square difference of a restored pixel, 0 to about 1."""
    squares, count = 0.0, 0
    batches = build_image_dataset(examples, recipe.input.preprocessing, recipe.input.batch_size)
    for batch in batches.as_numpy_iterator():
        images = batch.astype(np.float32)
        missed = np.asarray(restored.restore(images)) - images / 255
        squares += float(np.sum(np.square(missed, dtype=np.float64)))
        count += missed.size
    return math.sqrt(squares / count)
