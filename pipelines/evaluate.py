"""Evaluate: a run's answers on labelled images, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.metrics import measure
from pipelines.recipe import Recipe
from pipelines.runs import Run
from pipelines.sources import Examples, Source, open_source
from zoo.errors import DataError


def evaluate(
    run: Run | str | Path, data: str | Path, *, picture: str | Path = ""
) -> dict[str, Any]:
    """Measures a run on a data set.

    Where the data set is the one the run was trained on, its splits are the same.

    Args:
        run: A finished run.
        data: DATA as the command line takes it.
        picture: Where to draw images with their answers, a PNG; empty draws none.

    Returns:
        `pipelines.metrics.measure`'s figures for every split there is, by name.

    Raises:
        RunError: No finished run.
        DataError: The images cannot be used, or have classes the run does not know.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    recipe = run.recipe
    source = open_source(str(data), recipe.data, seed=recipe.seed)
    class_names = run.class_names
    if source.class_names != class_names:
        strange = sorted(set(source.class_names) ^ set(class_names))
        raise DataError(
            f"{data} has other classes than {run.path}",
            expected=", ".join(class_names),
            received=", ".join(source.class_names),
            mend=f"rename or remove: {', '.join(strange)}",
        )
    model = run.load_model()
    answers = {name: answer(model, recipe, part) for name, part in source.splits.items()}
    if picture:
        _draw(source, answers, Path(picture))
    return {
        name: measure(source.splits[name].labels, probabilities, class_names)
        for name, probabilities in answers.items()
    }


def answer(model: Any, recipe: Recipe, examples: Examples) -> npt.NDArray[np.float32]:
    """Returns a classifier's probabilities for a split, float32 [N, C]."""
    from pipelines.input import build_eval_dataset

    dataset = build_eval_dataset(
        examples, recipe.input.preprocessing, recipe.input.batch_size, model.output_shape[-1]
    )
    return np.asarray(model.predict(dataset.map(lambda image, label: image), verbose=0))


def _draw(source: Source, answers: dict[str, npt.NDArray[np.float32]], path: Path) -> None:
    from pipelines.pictures import draw_answers

    split = "test" if "test" in answers else "val"
    draw_answers(source.splits[split], answers[split], source.class_names, path)
