"""Evaluation of a trained model on labeled images."""

from __future__ import annotations

import logging
import os
import tomllib
from pathlib import Path
from typing import Any

from pipelines.evaluation.metrics import compute_metrics
from pipelines.evaluation.pictures import check_picture, draw_predictions
from pipelines.evaluation.predictions import compute_predictions
from pipelines.recipe.recipe import Recipe
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.runtime.stderr import suppress_stderr
from pipelines.sources.describe import describe
from pipelines.sources.evaluation_set import EvaluationSet, open_evaluation_set
from pipelines.sources.source import Examples
from pipelines.storage.run_folder import RunFolder
from pipelines.storage.split_metrics import SplitMetrics
from zoo.backbones.catalog import WEIGHTS, resolve
from zoo.errors import DataError
from zoo.models.pretrained import load_pretrained
from zoo.tasks import Task, classification
from zoo.weights.fetch import fetch

logger = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")


def evaluate(
    model: RunFolder | str | Path,
    data: str | Path,
    *,
    split: str | None = None,
    picture: str | Path | None = None,
) -> dict[str, SplitMetrics]:
    """Evaluates a model on labeled images.

    New images form one split, `all`, unless the data set has splits of its own; any class
    may be absent. An image that a run recorded belongs to the split it had in training,
    whatever its name and folder are now. A pretrained file does not record its images:
    they are split by the recipe on its card, and only if `split` names a part of them.

    Logs the images that are left out, those that look odd, and those the run was trained
    on.

    Args:
        model: A finished run, or a pretrained classifier, by name
            (`micro_resnet_m.cifar10`) or as a file that `zoo pretrain` wrote.
        data: DATA as the command line takes it.
        split: `train`, `val` or `test`; `all` joins every image to one split; None
            evaluates each split of the data set.
        picture: The PNG to draw images and their predictions in; None draws none.

    Returns:
        The metrics by split; see `pipelines.evaluation.metrics.compute_metrics`.

    Raises:
        RunError: `model` is neither, or damaged.
        DataError: The data set has no images, has classes that the model does not know, or
            has no such split.
        InputError: `picture` cannot be written.
    """
    if split not in (None, "all", *SPLITS):
        raise DataError(
            f"there is no split {split!r}", expected=", ".join(("all", *SPLITS)), received=split
        )
    if picture:
        check_picture(Path(picture))
    network, recipe, tasks, run = _open_model(model)
    evaluation_set = open_evaluation_set(str(data), recipe.data, tasks)
    for line in describe(evaluation_set):
        logger.info(line)
    splits = _choose(evaluation_set, recipe, run, split)
    predictions = {
        name: compute_predictions(network, recipe, examples, tasks)
        for name, examples in splits.items()
    }
    if picture:
        drawn = next(name for name in ("test", "val", "all", "train") if name in splits)
        draw_predictions(splits[drawn], predictions[drawn], tasks, Path(picture))
    return {
        name: compute_metrics(splits[name], predicted, tasks)
        for name, predicted in predictions.items()
    }


def _choose(
    found: EvaluationSet, recipe: ResolvedRecipe, run: RunFolder | None, split: str | None
) -> dict[str, Examples]:
    """Returns the splits to measure, by name.

    Raises:
        DataError: There is no split of that name.
    """
    if run is not None:
        found = found.assigned({name: run.digests(name) for name in SPLITS})
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
        _log_trained_on(chosen, frozenset(run.digests("train")))
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


def _open_model(
    model: RunFolder | str | Path,
) -> tuple[Any, ResolvedRecipe, tuple[Task, ...], RunFolder | None]:
    """Opens a run, or a pretrained classifier.

    Returns:
        The `keras.Model`, the recipe it was trained by, what it predicts, and its run, if
        it has one.

    Raises:
        RunError: `model` is neither, or damaged.
        WeightsError: The pretrained file is damaged, or holds no classifier.
    """
    if isinstance(model, RunFolder) or os.path.isfile(Path(model) / "recipe.toml"):
        run = model if isinstance(model, RunFolder) else RunFolder.open(model)
        with suppress_stderr():
            return run.model, run.recipe, run.tasks, run
    name = str(model)
    if name.endswith(".npz") or (name in WEIGHTS and WEIGHTS[name].file.endswith(".npz")):
        _, weights = resolve(name)
        if weights is None:
            raise ValueError("A .npz file resolves to its weights.")
        with suppress_stderr():
            network, card = load_pretrained(fetch(weights))
        settings = tomllib.loads(card.recipe)
        if not settings:  # trained by others, who state no more than the input
            settings = {
                "backbone": {"name": card.backbone},
                "input": card.preprocessing.model_dump(),
            }
        recipe = Recipe.from_settings(settings).resolve()
        return network, recipe, classification(card.class_names), None
    # Neither: this raises the error that says what is wrong with the path.
    return _open_model(RunFolder.open(model))
