"""Training: from a data set and a recipe to a run with its best weights and metrics."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.evaluation.metrics import compute_answer_metrics
from pipelines.recipe.decided_folds import decide_folds
from pipelines.recipe.measured_depth import measure_input_depth
from pipelines.recipe.pretraining import METHODS
from pipelines.recipe.recipe import Recipe
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.recipe.settings import RecipeSettings
from pipelines.runtime.devices import Devices, prepare_devices
from pipelines.runtime.isolation import isolated
from pipelines.runtime.stderr import suppress_stderr
from pipelines.serving.run import Run
from pipelines.sources.source import Source, join_examples
from pipelines.storage.held_out_answers import HeldOutAnswers
from pipelines.storage.run_folder import RunFolder
from pipelines.storage.trained_hashes import save_trained_hashes
from pipelines.training.agreement import compute_split_answers
from pipelines.training.calibrate import calibrate, calibrated_probabilities
from pipelines.training.divergence import describe_divergence
from pipelines.training.fit_decision import fit_decision
from pipelines.training.fit_unknown import fit_unknown_scorer
from pipelines.training.prepare import claim_run, open_images
from pipelines.training.soft_targets import add_soft_targets
from pipelines.training.split_twins import find_split_twins
from pipelines.training.trainer import Trainer
from tuning.optimization.penalties import summarize_kernels
from zoo.errors import RecipeError
from zoo.models.decision import read_rules

logger = logging.getLogger(__name__)


@isolated()
def train(
    data: str | Path | None,
    recipe: RecipeSettings | None = None,
    *,
    out: str | Path,
    backbone: str | None = None,
    head: str | None = None,
    teacher: RunFolder | str | Path | None = None,
    unlabeled: str | Path | None = None,
    resume: bool = False,
) -> Run:
    """Trains a classifier and evaluates it on every split.

    The head trains first, on the frozen backbone (or the whole network, if the backbone
    starts from random weights). Then, if the recipe says so, the head trains together with
    the backbone's top blocks. The run keeps the best weights by validation of all epochs. Then
    its probabilities are calibrated on the validation images, where that pays, and what tells
    foreign images from those of the classes is fitted, and so is what counts as the answer.

    Args:
        data: DATA as the command line takes it; None takes the recipe's.
        recipe: What to do; None takes the preset that suits the data.
        out: The run folder, new unless `resume`.
        backbone: A backbone instead of the preset's; not together with `recipe`.
        head: A row of HEADS instead of the preset's head; not together with `recipe`.
        teacher: A finished run whose probabilities are learned beside the labels; see
            `pipelines.recipe.teacher.TeacherConfig`. None takes the recipe's.
        unlabeled: Images to learn from the teacher alone; None takes the recipe's.
        resume: Whether an interrupted run is continued. It ends with the weights it would
            have had without the interruption, bit for bit. With a larger `train.epochs`, a
            run that is finished or not goes on, as if it had been started with so many.

    Returns:
        The finished run.

    Raises:
        DataError: The images or labels cannot be trained on.
        RecipeError: The settings exclude each other or do not suit the data.
        RunError: `out` is taken, or was made by another recipe or from other data.
        TrainingError: The loss is not a number, or `out` was removed meanwhile.
    """
    started = time.perf_counter()
    if recipe is not None and (backbone or head):
        raise RecipeError(
            "a recipe names its own backbone and head",
            expected="recipe, or backbone and head",
            received="both",
            mend="Recipe.for_data(data, backbone=…, head=…) makes a recipe of them",
        )
    if backbone or head:
        recipe = Recipe.for_data(data, backbone=backbone, head=head)
    if teacher or unlabeled:
        run = teacher.path if isinstance(teacher, RunFolder) else teacher
        recipe = Recipe.of(recipe or Recipe.for_data(data)).with_teacher(run, unlabeled)
    if recipe is not None and not METHODS[recipe.pretraining.method].labeled:
        raise RecipeError(
            "this recipe pretrains a backbone without labels",
            expected="pretraining.method = 'supervised'",
            received=repr(recipe.pretraining.method),
            mend="zoo pretrain DATA --recipe FILE --out RUN",
        )
    with claim_run(data, recipe, out, resume=resume) as (folder, resolved):
        if folder.finished and folder.recipe.train.epochs == resolved.train.epochs:
            logger.info(f"{folder.path} is finished already")
            return Run(folder.path)
        with suppress_stderr():
            devices = prepare_devices(resolved.device, on_images=resolved.trains_on_images)
        source = open_images(resolved)
        resolved = decide_folds(measure_input_depth(resolved, source.train), source)
        if "augment.policy" not in resolved.to_measure:
            logger.info(f"augmentation {resolved.augment}")
        logger.info(f"training on {devices.description}")
        train_on(folder, resolved, source, devices, started=started)
    return Run(folder.path)


def train_on(
    folder: RunFolder,
    recipe: ResolvedRecipe,
    source: Source,
    devices: Devices,
    *,
    started: float,
) -> None:
    """Trains on images that are read already, and evaluates every split.

    Args:
        folder: The run folder, claimed.
        recipe: What to do.
        source: The images.
        devices: What to train on.
        started: When the job began, by `time.perf_counter`.

    Raises:
        RecipeError: The recipe does not suit the data.
        RunError: The checkpoint was made from other images.
        TrainingError: The loss is not a number.
    """
    if recipe.trains_on_validation:
        both = join_examples([source.train, source.val])
        # With folds, each image is held out from one head.
        source = replace(source, train=both, val=both if recipe.num_folds else source.val)
    # Every check of the input comes before the first file is written.
    taught = add_soft_targets(recipe, source)
    trainer = Trainer(recipe, taught, devices, folder=folder)
    recipe = trainer.prepare()
    folder.begin(recipe, source.tasks)
    recorded = {name: examples.digests for name, examples in source.splits.items()}
    if recipe.num_folds:  # an image belongs to one split
        del recorded["val"]
    if unlabeled := taught.train.digests[len(source.train) :]:
        recorded["unlabeled"] = unlabeled
    folder.save_digests(recorded)
    read_s = time.perf_counter() - started - trainer.extract_s

    earlier_s = trainer.loop.fit_s
    model = trainer.fit()
    if diverged := describe_divergence(trainer.loop.history, source.tasks):
        logger.warning(diverged)
    features = trainer.evaluation_features
    if features is not None and unlabeled:
        features = features.of(source)
    logits = trainer.fold_logits
    calibration = calibrate(model, recipe, source, features, logits)
    scorer, unknown = fit_unknown_scorer(model, recipe, source, features)
    folder.save_model(model, scorer)
    answers = compute_split_answers(model, scorer, recipe, source, features)
    twins = find_split_twins(source, taught.train, trainer.fold_numbers)
    save_trained_hashes(folder.hashes_file, twins.trained)
    held_out = None
    if logits is not None:
        (task,) = source.tasks
        probabilities = calibrated_probabilities(logits, task, calibration)
        near = twins.by_split["val"].near if "val" in twins.by_split else None
        held_out = HeldOutAnswers(source.val.binary_digests, probabilities, near)
        answers["val"] = replace(answers["val"], predictions={task.name: probabilities})
    folder.save_held_out(held_out)
    decision = fit_decision(answers["val"].predictions, recipe, source)
    rules = read_rules(decision, source.tasks)
    metrics: dict[str, Any] = {
        name: compute_answer_metrics(
            source.splits[name],
            answered.decided(rules),
            source.tasks,
            twins=twins.by_split.get(name),
        )
        for name, answered in answers.items()
        if name != "val" or not recipe.train.with_validation
    }
    if calibration:
        metrics["calibration"] = calibration
    if unknown:
        metrics["unknown"] = unknown
    if decision:
        metrics["decision"] = decision
    if taught.teacher:
        metrics["teacher"] = {"run": recipe.teacher.run, "sha256": taught.teacher}
    metrics["head"] = summarize_kernels(trainer.kernels, recipe.penalty.l1, recipe.penalty.l2)
    metrics["timing"] = {
        "wall_s": round(time.perf_counter() - started + earlier_s, 3),
        "read_s": round(read_s, 3),
        "extract_s": round(trainer.extract_s, 3),
        "fit_s": round(trainer.loop.fit_s, 3),
    }
    metrics["device"] = devices.description
    metrics["images"] = {name: len(digests) for name, digests in recorded.items()}
    metrics["images"]["skipped"] = len(source.skipped)
    folder.save_metrics(metrics)
