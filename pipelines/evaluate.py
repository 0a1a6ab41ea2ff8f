"""Evaluate: a run's answers on labelled images, measured."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.devices import quiet_start
from pipelines.metrics import measure
from pipelines.pictures import draw_answers
from pipelines.recipe import Recipe
from pipelines.runs import Run
from pipelines.sources import Examples, open_source
from zoo.backbones import WEIGHTS, resolve
from zoo.errors import DataError
from zoo.pretrained_file import load_pretrained
from zoo.weights import fetch


def evaluate(
    model: Run | str | Path, data: str | Path, *, split: str = "", picture: str | Path = ""
) -> dict[str, Any]:
    """Measures a model on a data set.

    Where the data set is the one a run was trained on, its splits are the same.

    Args:
        model: A finished run; or a network with its top, by name
            (`micro_resnet_m.cifar10`) or by the file `zoo pretrain` wrote.
        data: DATA as the command line takes it.
        split: `train`, `val` or `test`; empty measures all there are.
        picture: Where to draw images with their answers, a PNG; empty draws none.

    Returns:
        `pipelines.metrics.measure`'s figures for every split there is, by name.

    Raises:
        RunError: `model` is neither.
        DataError: The images cannot be used, have classes the model does not know,
            or have no such split.
    """
    network, recipe, class_names = _open(model)
    source = open_source(str(data), recipe.data, seed=recipe.seed)
    if source.class_names != class_names:
        strange = sorted(set(source.class_names) ^ set(class_names))
        raise DataError(
            f"{data} has other classes than {model}",
            expected=", ".join(class_names),
            received=", ".join(source.class_names),
            mend=f"rename or remove: {', '.join(strange)}" if strange else "put them in that order",
        )
    if split and split not in source.splits:
        raise DataError(
            f"{data} has no split {split!r}", expected=" or ".join(source.splits), received=split
        )
    wanted = {split: source.splits[split]} if split else source.splits
    answers = {name: answer(network, recipe, part) for name, part in wanted.items()}
    if picture:
        shown = next(name for name in ("test", "val", "train") if name in answers)
        draw_answers(wanted[shown], answers[shown], class_names, Path(picture))
    return {
        name: measure(wanted[name].labels, probabilities, class_names)
        for name, probabilities in answers.items()
    }


def _open(model: Run | str | Path) -> tuple[Any, Recipe, tuple[str, ...]]:
    """Returns a classifier, the recipe it was trained by, and its classes."""
    if isinstance(model, Run) or (Path(model) / "recipe.toml").is_file():
        run = model if isinstance(model, Run) else Run.open(model)
        with quiet_start():
            return run.load_model(), run.recipe, run.class_names
    name = str(model)
    if name.endswith(".npz") or (name in WEIGHTS and WEIGHTS[name].file.endswith(".npz")):
        _, weights = resolve(name)
        if weights is None:
            raise ValueError("A .npz file resolves to its weights.")
        with quiet_start():
            network, card = load_pretrained(fetch(weights))
        return network, Recipe.from_settings(tomllib.loads(card.recipe)), card.class_names
    # Says what is wrong with the path.
    return _open(Run.open(model))


def answer(model: Any, recipe: Recipe, examples: Examples) -> npt.NDArray[np.float32]:
    """Returns a classifier's probabilities for a split, float32 [N, C]."""
    from pipelines.input import build_eval_dataset

    dataset = build_eval_dataset(
        examples, recipe.input.preprocessing, recipe.input.batch_size, model.output_shape[-1]
    )
    return np.asarray(model.predict(dataset.map(lambda image, label: image), verbose=0))
