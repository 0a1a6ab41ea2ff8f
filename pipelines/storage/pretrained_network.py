"""Pretrained classifiers, which have a card instead of a run, and the choice between both."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.recipe.recipe import Recipe
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.runtime.isolation import isolated, start_keras
from pipelines.runtime.stderr import suppress_stderr
from pipelines.storage.run_folder import RunFolder
from zoo.errors import WeightsError
from zoo.models.class_names import ClassNames
from zoo.models.pretrained import find_classifier, load_pretrained
from zoo.reading import parse_toml
from zoo.tasks import Task, classification
from zoo.weights.fetch import fetch
from zoo.weights.row import Weights


@dataclass(frozen=True)
class PretrainedNetwork:
    """A backbone with the top layer that it was trained with.

    Args:
        name: `architecture.tag`, or the file that `zoo pretrain` wrote.
        model: A `keras.Model` from float32 [B, S, S, 3] in 0 to 255 to probabilities,
            float32 [B, C].
        recipe: The recipe on its card; for a network trained by others, who state no more,
            a recipe with its backbone and input.
        names: Its classes.
    """

    name: str
    model: Any
    recipe: ResolvedRecipe
    names: ClassNames

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What it predicts, with readable names."""
        return classification(self.names.readable)


def open_run_or_network(model: RunFolder | str | Path) -> RunFolder | PretrainedNetwork:
    """Opens a finished run, or a pretrained classifier.

    Args:
        model: A run, its folder, the name of a pretrained classifier, or a file that
            `zoo pretrain` wrote. A run at a path of that name comes first.

    Raises:
        RunError: `model` is neither, or damaged.
        UnknownNameError: It is nearly the name of a pretrained network.
        WeightsError: The pretrained network has no top, or its file is absent or damaged.
        FetchError: A download broke off.
    """
    if isinstance(model, RunFolder):
        return model
    if os.path.isfile(Path(model) / "recipe.toml"):
        return RunFolder.open(model)
    if weights := find_classifier(str(model)):
        return open_pretrained_network(weights)
    return RunFolder.open(model)  # raises the error that says what is wrong with the path


def open_pretrained_network(weights: Weights) -> PretrainedNetwork:
    """Fetches and loads a pretrained classifier.

    Args:
        weights: Its row; see `zoo.models.pretrained.find_classifier`.

    Raises:
        WeightsError: The file is absent, damaged, or of a backbone without a top.
        FetchError: A download broke off.
    """
    with isolated(), suppress_stderr():
        start_keras()
        model, card = load_pretrained(fetch(weights))
    settings = _read_recipe(card.recipe, weights.name) or {
        "backbone": {"name": card.backbone},
        "input": card.preprocessing.model_dump(),
    }
    return PretrainedNetwork(
        weights.name,
        model,
        Recipe.from_settings(settings).resolve(),
        ClassNames(card.class_names, card.display_names),
    )


def _read_recipe(text: str, name: str) -> dict[str, Any]:
    try:
        return parse_toml(text)
    except ValueError as error:
        raise WeightsError(f"the card of {name} holds no recipe: {error}") from None
