"""Evaluation of a trained model on labeled images."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.evaluation.data_settings import adapt_to_data
from pipelines.evaluation.metrics import compute_answer_metrics
from pipelines.evaluation.pictures import check_picture, draw_predictions
from pipelines.evaluation.predictions import Answers, compute_answers, compute_exported_answers
from pipelines.evaluation.training_twins import TrainingTwins, find_twins_in_run
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.runtime.stderr import suppress_stderr
from pipelines.sources.examining.kept_images import KeptImages
from pipelines.sources.opening.describe import describe
from pipelines.sources.opening.evaluation_set import EvaluationSet, open_evaluation_set
from pipelines.sources.opening.unlabeled import open_unlabeled
from pipelines.sources.source import Examples
from pipelines.storage.exported_network import (
    ExportedNetwork,
    find_exported_network,
    open_exported_network,
)
from pipelines.storage.pretrained_network import PretrainedNetwork, open_run_or_network
from pipelines.storage.run_folder import RunFolder
from pipelines.storage.split_metrics import SplitMetrics
from zoo.errors import DataError, RunError
from zoo.models.unknown import UNKNOWN_SCORE

logger = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")

MAX_FOREIGN = 10_000
"""Images of none of the classes that are measured, at most."""


def evaluate(
    model: RunFolder | str | Path,
    data: str | Path,
    *,
    split: str | None = None,
    picture: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    foreign: str | Path | None = None,
) -> dict[str, SplitMetrics]:
    """Evaluates a model on labeled images.

    New images form one split, `all`, unless the data set has splits of its own; any class
    may be absent. An image that a run recorded belongs to the split it had in training,
    whatever its name and folder are now. A pretrained file does not record its images:
    they are split by the recipe on its card, and only if `split` names a part of them.

    With `train.folds` every training image is a validation image too: `val` is what the heads
    answered that had not seen it.

    A network of ImageNet takes classes by WordNet id or by readable name; see
    `zoo.models.class_names.ClassNames.match`. The metrics name its 1,000 classes by id if
    the data set names every class so, else by readable name. Every class competes, those
    without images too: a bee taken for a wasp is wrong where only ants and bees are asked
    for.

    Images with a near-duplicate among those that the run was trained on are counted, and the
    accuracy without them is beside that of all.

    Logs the images that are left out, those that look odd, and those the run was trained
    on.

    Args:
        model: A finished run; a pretrained classifier, by name (`micro_resnet_m.cifar10`) or as
            a file that `zoo pretrain` wrote; or an exported model, of ONNX, OpenVINO or LiteRT.
        data: DATA as the command line takes it.
        split: `train`, `val` or `test`; `all` joins every image to one split; None
            evaluates each split of the data set.
        picture: The PNG to draw images and their predictions in; None draws none.
        settings: How to read the data, by path, where they are made otherwise than those of
            training: the section `data` of the recipe, such as `{"data.suffix": ".jpg"}`, and
            the columns of tasks.
        foreign: Images of none of the classes, as DATA, sorted or not: how many of them count
            as unknown. At most 10,000 are taken, evenly spaced.

    Returns:
        The metrics by split; see `pipelines.evaluation.metrics.compute_metrics`.

    Raises:
        RunError: `model` is none of these, or damaged.
        UnknownNameError: `model` is nearly the name of a pretrained network.
        WeightsError: The pretrained network has no top, or its file is absent or damaged.
        DataError: The data set has no images, has classes that the model does not know, or
            has no such split.
        InputError: `picture` cannot be written.
        RecipeError: A setting is not about data, or does not fit.
        RunError: There are `foreign` images, and the model has no unknown scores.
    """
    if split not in (None, "all", *SPLITS):
        raise DataError(
            f"there is no split {split!r}", expected=", ".join(("all", *SPLITS)), received=split
        )
    if picture:
        check_picture(Path(picture))
    opened = _open(model)
    run = opened if isinstance(opened, RunFolder) else None
    scorer = run.unknown_scorer if run else None
    has_scores = isinstance(opened, ExportedNetwork) and UNKNOWN_SCORE in opened.outputs
    if foreign and scorer is None and not has_scores:
        raise RunError(
            f"{model.path if isinstance(model, RunFolder) else model} has no unknown scores",
            expected="a run with unknown.npz",
            mend="train again with unknown.method = 'auto', or omit --foreign",
        )
    names = opened.names if isinstance(opened, PretrainedNetwork) else None
    recipe = opened.recipe
    config, tasks = adapt_to_data(recipe, opened.tasks, settings or {})
    answer = _answering(opened)
    kept = KeptImages(recipe.input.preprocessing.decoder, recipe.input.cache_mib)
    evaluation_set = open_evaluation_set(str(data), config, tasks, names, kept=kept)
    tasks = evaluation_set.tasks
    for line in describe(evaluation_set):
        logger.info(line)
    splits = _choose(evaluation_set, recipe, run, split)
    rules = run.decision_rules if run else {}
    answers: dict[str, Answers] = {}
    twins: dict[str, TrainingTwins | None] = {}
    for name, examples in splits.items():
        held_out = run.held_out if run and name == "val" else None
        answered = answers.get("train")
        if not (held_out and answered and examples.digests == splits["train"].digests):
            answered = answer(examples)
        if held_out and held_out.covers(examples.digests):
            found = {tasks[0].name: held_out.of(examples.digests)}
            answered = replace(answered, predictions=found)
        else:
            held_out = None
        if run and name != "train":
            twins[name] = find_twins_in_run(run, examples, held_out)
        answers[name] = answered.decided(rules) if rules else answered
    foreign_scores = None
    if foreign:
        sample = open_unlabeled(str(foreign), at_most=MAX_FOREIGN).splits["all"]
        logger.info(f"{foreign}: {len(sample)} images of none of the classes")
        foreign_scores = answer(sample).unknown_scores
    if picture:
        drawn = next(name for name in ("test", "val", "all", "train") if name in splits)
        decoder = recipe.input.preprocessing.decoder
        draw_predictions(splits[drawn], answers[drawn], tasks, Path(picture), decoder=decoder)
    return {
        name: compute_answer_metrics(splits[name], answered, tasks, foreign_scores, twins.get(name))
        for name, answered in answers.items()
    }


def _open(model: RunFolder | str | Path) -> RunFolder | PretrainedNetwork | ExportedNetwork:
    """Opens what is evaluated."""
    if not isinstance(model, RunFolder) and (folder := find_exported_network(Path(model))):
        return open_exported_network(folder)
    return open_run_or_network(model)


def _answering(
    opened: RunFolder | PretrainedNetwork | ExportedNetwork,
) -> Callable[[Examples], Answers]:
    """Returns what computes a model's answers to the images of a split."""
    if isinstance(opened, ExportedNetwork):
        return partial(compute_exported_answers, opened)
    with suppress_stderr():
        network = opened.model
    scorer = opened.unknown_scorer if isinstance(opened, RunFolder) else None
    recipe, tasks = opened.recipe, opened.tasks
    return lambda examples: compute_answers(network, scorer, recipe, examples, tasks)


def _choose(
    found: EvaluationSet, recipe: ResolvedRecipe, run: RunFolder | None, split: str | None
) -> dict[str, Examples]:
    """Returns the splits to measure, by name.

    Raises:
        DataError: There is no split of that name.
    """
    if run is not None:
        found = found.assigned({name: run.digests(name) for name in SPLITS})
        if run.held_out and split != "all":
            found = found.with_validation(run.held_out.find)
    elif split in SPLITS and split not in found.splits:
        found = found.split(recipe.data, seed=recipe.seed)
    if split == "all":
        found = found.joined()
    if split and split not in found.splits:
        raise DataError(
            f"{found.name} has no split {split!r}",
            expected=" or ".join(found.splits),
            received=split,
        )
    chosen = {split: found.splits[split]} if split else found.splits
    if run is not None:
        rest = {name: part for name, part in chosen.items() if name != "val" or not run.held_out}
        _log_trained_on(rest, run.trained_on)
    return chosen


def _log_trained_on(splits: dict[str, Examples], trained: frozenset[str]) -> None:
    """Logs how many of the measured images a run was trained on, if any."""
    counts = {
        name: sum(digest in trained for digest in examples.digests)
        for name, examples in splits.items()
    }
    if not any(counts.values()):
        return
    by_split = ", ".join(
        f"{name}: {count} of {len(splits[name])}" for name, count in counts.items() if count
    )
    held_out = any(count for name, count in counts.items() if name != "train")
    logger.info(
        f"the run was trained on {sum(counts.values())} of the "
        f"{sum(map(len, splits.values()))} measured images ({by_split})"
        + ("; metrics on these are too optimistic" if held_out else "")
    )
