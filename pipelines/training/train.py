"""Train: a source and a recipe in, a run with its best weights and metrics out."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.evaluation.metrics import compute_metrics
from pipelines.recipe.pretraining import METHODS
from pipelines.recipe.recipe import Recipe
from pipelines.runtime.devices import Devices, prepare_devices, quiet_start
from pipelines.serving.run import Run
from pipelines.sources.source import Source, join_examples
from pipelines.storage.run_folder import RunFolder
from pipelines.training.agreement import compute_split_predictions
from pipelines.training.prepare import claim_run, open_images
from pipelines.training.trainer import Fitting
from tuning.optimization.penalties import summarize_kernels
from zoo.errors import RecipeError
from zoo.models.classifier import head_kernels

logger = logging.getLogger(__name__)


def train(
    data: str | Path, recipe: Recipe | None = None, *, out: str | Path, resume: bool = False
) -> Run:
    """Trains a classifier and measures it on every split.

    First the head on the frozen backbone (or all of it, where the backbone has
    random weights), then, if the recipe says so, the head with the backbone's
    top blocks. The weights kept are the best by validation, across both.

    Args:
        data: DATA as the command line takes it; empty takes the recipe's.
        recipe: What to do; left out, the preset that suits the data.
        out: The run's directory, new unless `resume`.
        resume: Go on where an interrupted run stood. It ends with the very
            weights it would have had.

    Returns:
        The finished run.

    Raises:
        DataError: The images or labels cannot be trained on.
        RecipeError: The recipe does not fit itself or the data.
        RunError: `out` is taken, or was made by another recipe or from other data.
        TrainingError: The loss is no longer a number.
    """
    started = time.perf_counter()
    if recipe is not None and not METHODS[recipe.pretraining.method].labeled:
        raise RecipeError(
            "this recipe pretrains a backbone without labels",
            expected="pretraining.method = 'supervised'",
            received=repr(recipe.pretraining.method),
            mend="zoo pretrain DATA --recipe FILE --out RUN",
        )
    run, recipe = claim_run(data, recipe, out, resume=resume)
    if run.finished:
        logger.info(f"{run.path} is finished already")
        return Run(run.path)
    with quiet_start():
        devices = prepare_devices(recipe.device)
    source = open_images(recipe, data or recipe.data.source)
    logger.info(f"augmentation {recipe.augment}")
    logger.info(f"training on {devices.description}")
    train_on(run, recipe, source, devices, started=started)
    return Run(run.path)


def train_on(
    run: RunFolder,
    recipe: Recipe,
    source: Source,
    devices: Devices,
    *,
    started: float,
    alone: bool = True,
) -> None:
    """Trains on images that were read already, and measures what came of it.

    Args:
        run: Its directory, checked.
        recipe: Completed.
        source: The images.
        devices: What to train on.
        started: When the job began, by `time.perf_counter`.
        alone: Whether no other process writes into the run; then what a killed one left
            half-written there is removed.

    Raises:
        RecipeError: The recipe does not fit the data.
        RunError: The run's checkpoint was made from other images.
        TrainingError: The loss is no longer a number.
    """
    if recipe.train.with_validation:
        source = replace(source, train=join_examples([source.train, source.val]))
    # All that can be wrong with the input is found out before the first file is written.
    job = Fitting(run, recipe, source, devices)
    recipe = job.compute_features()
    run.begin(recipe, source.tasks, alone=alone)
    run.save_digests({name: examples.digests for name, examples in source.splits.items()})
    read_s = time.perf_counter() - started - job.extract_s

    earlier_s = job.epochs.fit_s
    model = job.fit()
    run.save_model(model)
    metrics: dict[str, Any] = {
        name: compute_metrics(source.splits[name], predictions, source.tasks)
        for name, predictions in compute_split_predictions(
            model, recipe, source, job.measurable
        ).items()
        if name != "val" or not recipe.train.with_validation
    }
    metrics["head"] = summarize_kernels(
        head_kernels(model, recipe.backbone.name), recipe.penalty.l1 or 0, recipe.penalty.l2 or 0
    )
    metrics["timing"] = {
        "wall_s": round(time.perf_counter() - started + earlier_s, 3),
        "read_s": round(read_s, 3),
        "extract_s": round(job.extract_s, 3),
        "fit_s": round(job.epochs.fit_s, 3),
    }
    metrics["device"] = devices.description
    metrics["images"] = {name: len(examples) for name, examples in source.splits.items()}
    metrics["images"]["skipped"] = len(source.skipped)
    run.save_metrics(metrics)
