"""Predictions of a model for the images of a split, and their unknown scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.input_pipeline.datasets import build_image_dataset
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.sources.source import Examples
from pipelines.storage.exported_network import ExportedNetwork
from zoo.models.decision import DecisionRule, set_output
from zoo.models.unknown import UNKNOWN_SCORE, UnknownScorer, build_scored_model
from zoo.tasks import Task, wrap


@dataclass(frozen=True)
class Answers:
    """What a model says about the images of a split.

    Args:
        predictions: float32 [N, K] by task; empty where N is 0.
        unknown_scores: float32 [N], above 1 where an image counts as none of the classes; None
            where nothing says so.
        sets: Which classes or labels are in the answer, bool [N, K], by task that has a rule.
    """

    predictions: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    unknown_scores: npt.NDArray[np.float32] | None = None
    sets: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)

    def row(self, index: int) -> Answers:
        """Returns what the model says about one of the images, as N = 1.

        Args:
            index: Which one, 0 to N - 1.
        """
        one = slice(index, index + 1)
        return Answers(
            {name: array[one] for name, array in self.predictions.items()},
            None if self.unknown_scores is None else self.unknown_scores[one],
            {name: array[one] for name, array in self.sets.items()},
        )

    def decided(self, rules: Mapping[str, DecisionRule]) -> Answers:
        """Returns the answers with the sets that follow from their probabilities.

        Args:
            rules: By task; those of no image are left out.
        """
        found = {
            name: rule.members(self.predictions[name])
            for name, rule in rules.items()
            if name in self.predictions
        }
        return replace(self, sets=found)


def read_outputs(tasks: Sequence[Task], outputs: Mapping[str, npt.NDArray[Any]]) -> Answers:
    """Returns the answers that are in the outputs of an exported model.

    Args:
        tasks: What it predicts.
        outputs: By name, each [N, …].
    """
    names = {task.name: set_output(task) for task in tasks}
    return Answers(
        {task.name: outputs[task.output].reshape(-1, task.num_outputs) for task in tasks},
        outputs.get(UNKNOWN_SCORE),
        {name: outputs[output] for name, output in names.items() if output in outputs},
    )


def compute_exported_answers(exported: ExportedNetwork, examples: Examples) -> Answers:
    """Computes an exported network's answers for a split.

    Args:
        exported: The network.
        examples: The split.
    """
    settings = exported.recipe.input
    images = build_image_dataset(examples, settings.preprocessing, settings.batch_size)
    found = [exported.network(batch) for batch in images.as_numpy_iterator()]
    outputs = {name: np.concatenate([row[name] for row in found]) for name in found[0]}
    return read_outputs(exported.tasks, outputs)


def compute_answers(
    model: Any,
    scorer: UnknownScorer | None,
    recipe: ResolvedRecipe,
    examples: Examples,
    tasks: Sequence[Task],
) -> Answers:
    """Computes a model's predictions for a split, and unknown scores in the same pass.

    Args:
        model: As `compute_predictions` takes it.
        scorer: Of the features of its head; None computes no scores.
        recipe: Its preprocessing and batch size are used.
        examples: The split.
        tasks: What the model predicts.
    """
    if scorer is None:
        return Answers(compute_predictions(model, recipe, examples, tasks))
    outputs, scores = predict_images(build_scored_model(model, scorer), recipe, examples)
    return Answers(wrap(tasks, outputs), scores)


def compute_predictions(
    model: Any, recipe: ResolvedRecipe, examples: Examples, tasks: Sequence[Task]
) -> dict[str, npt.NDArray[np.float32]]:
    """Computes a model's predictions for a split.

    Args:
        model: A `keras.Model` from float32 [B, S, S, 3] in 0 to 255 to what `tasks` say.
        recipe: Its preprocessing and batch size are used.
        examples: The split.
        tasks: What the model predicts.

    Returns:
        float32 [N, K] by task.
    """
    return wrap(tasks, predict_images(model, recipe, examples))


def predict_images(model: Any, recipe: ResolvedRecipe, examples: Examples) -> Any:
    """Computes a model's outputs for images, in batches of one size.

    The last image fills up the last batch: Keras traces a model anew for each size of a batch,
    and TensorFlow warns of it.

    Args:
        model: A `keras.Model` from float32 [B, S, S, 3] in 0 to 255.
        recipe: Its preprocessing and batch size are used.
        examples: N images, at least one.

    Returns:
        NumPy arrays [N, …], in the structure of the model's outputs.
    """
    import keras

    count, config = len(examples), recipe.input
    batch_size = min(count, config.batch_size)
    padded = np.minimum(np.arange(-(-count // batch_size) * batch_size), count - 1)
    images = build_image_dataset(examples.take(padded), config.preprocessing, batch_size)
    outputs = model.predict(images, verbose=0)
    return keras.tree.map_structure(lambda rows: rows[:count], outputs)
