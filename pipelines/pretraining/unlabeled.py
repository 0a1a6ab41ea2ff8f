"""Pretraining without labels: from images to a backbone and its card, by any method."""

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
from pipelines.recipe.measured_depth import measure_input_depth
from pipelines.recipe.recipe import Recipe
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.runtime.devices import Devices, prepare_devices
from pipelines.runtime.stderr import suppress_stderr
from pipelines.sources.source import Examples, Source
from pipelines.storage.run_folder import RunFolder
from pipelines.training.prepare import claim_run, open_images
from zoo.weights.archive import round_kernels

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedRestorer:
    """A backbone that was trained to restore images.

    Args:
        network: The backbone, a Keras model.
        restore: Maps images float32 [B, S, S, 3] in 0 to 255 to restored ones in 0 to 1.
        fit_s: Seconds of training, those before an interruption included.
    """

    network: Any
    restore: Callable[[Any], Any]
    fit_s: float


Fit = Callable[[RunFolder, ResolvedRecipe, Source, Devices], TrainedRestorer]


def pretrain_unlabeled(
    data: str | Path | None, recipe: Recipe, out: Path, fit: Fit, *, resume: bool
) -> Path:
    """Trains a backbone on images alone, measures its restoration error, and writes it.

    Args:
        data: DATA as the command line takes it; None takes the recipe's.
        recipe: What to do.
        out: The run folder, new unless `resume`.
        fit: Trains the backbone, from its checkpoint on where there is one.
        resume: Whether an interrupted run is continued.

    Returns:
        The file written.

    Raises:
        DataError: The images cannot be trained on.
        RunError: `out` is taken, or was made by another recipe or from other images.
    """
    with claim_run(data, recipe, out, resume=resume) as (folder, resolved):
        if folder.pretrained_file.is_file():
            logger.info(f"{folder.path} is finished already")
            return folder.pretrained_file
        return _pretrain(folder, resolved, fit)


def _pretrain(folder: RunFolder, resolved: ResolvedRecipe, fit: Fit) -> Path:
    started = time.perf_counter()
    with suppress_stderr():
        devices = prepare_devices(resolved.device, on_images=True)
    source = open_images(resolved, labeled=False)
    resolved = measure_input_depth(resolved, source.train)
    logger.info(f"pretraining on {devices.description}")
    restorer = fit(folder, resolved, source, devices)
    folder.save_digests({name: examples.digests for name, examples in source.splits.items()})
    round_kernels(restorer.network)
    errors = {
        name: _restoration_error(restorer, resolved, examples)
        for name, examples in source.splits.items()
    }
    counts = {name: len(examples) for name, examples in source.splits.items()}
    folder.save_metrics(
        {
            **{name: {"restoration_error": error} for name, error in errors.items()},
            "timing": {
                "wall_s": round(time.perf_counter() - started, 3),
                "fit_s": round(restorer.fit_s, 3),
            },
            "device": devices.description,
            "images": {**counts, "skipped": len(source.skipped)},
        }
    )
    logger.info(
        ", ".join(f"{name} restoration error {error:.4f}" for name, error in errors.items())
    )
    split = "val" if source.test is None else "test"
    return write_backbone(
        folder,
        restorer.network,
        split=split,
        num_images=counts[split],
        restoration_error=errors[split],
    )


def _restoration_error(
    restorer: TrainedRestorer, recipe: ResolvedRecipe, examples: Examples
) -> float:
    """Returns the root mean square error of restored pixels, 0 to about 1."""
    squares, count = 0.0, 0
    batches = build_image_dataset(examples, recipe.input.preprocessing, recipe.input.batch_size)
    for batch in batches.as_numpy_iterator():
        images = batch.astype(np.float32)
        difference = np.asarray(restorer.restore(images)) - images / 255
        squares += float(np.sum(np.square(difference, dtype=np.float64)))
        count += difference.size
    return math.sqrt(squares / count)
