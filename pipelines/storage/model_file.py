"""Save and load the model of a run and what goes with it; check that they belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.runtime.isolation import isolated, start_keras
from zoo.backbones.kerashub.installation import import_for_model
from zoo.errors import RunError
from zoo.files import remove_file, replacing
from zoo.models.decision import DecisionRule, read_rules
from zoo.models.input_description import write_description
from zoo.models.keras_file import check_keras_file
from zoo.models.unknown import UnknownScorer
from zoo.models.unknown_file import load_scorer, save_scorer
from zoo.tasks import Task


def save_model(
    file: Path,
    model: Any,
    description: dict[str, Any],
    scorer_file: Path,
    scorer: UnknownScorer | None,
) -> None:
    """Writes a trained model and the scorer of its features, each whole or not at all.

    Args:
        file: The run's model.keras.
        model: A `keras.Model`.
        description: What it wants of its images; see `zoo.models.input_description`.
        scorer_file: The run's unknown.npz.
        scorer: Of the features of the model's head; None leaves no file.
    """
    # First, so that another model never lies beside an earlier one's scorer.
    remove_file(scorer_file)
    with replacing(file) as temporary:
        model.save(temporary)
        write_description(temporary, description)
    if scorer is not None:
        save_scorer(scorer_file, scorer)


@isolated()
def load_model(file: Path, tasks: Sequence[Task]) -> Any:
    """Loads a trained model.

    Args:
        file: The run's model.keras.
        tasks: What the run records that the model predicts.

    Returns:
        A `keras.Model` from images float32 [B, S, S, 3] in 0 to 255 to probabilities
        float32 [B, C], or to a dictionary by the tasks' names.

    Raises:
        RunError: The file is damaged, holds more than layers that compute and their weights,
            or its outputs are not those of the tasks.
        InputError: The model has layers of KerasHub, which is not installed.
    """
    check_keras_file(file)
    start_keras()
    import keras

    import zoo.layers  # noqa: F401  registers the layers of a head that are not Keras'

    import_for_model(file)
    try:
        model = keras.models.load_model(file, compile=False)
    except Exception as error:
        # Depending on the damage, zipfile, JSON, HDF5 or Keras raises an error of its own.
        raise RunError(
            f"{file} cannot be loaded",
            received=f"{type(error).__name__}: {str(error)[:120]}",
            mend="train the run again",
        ) from error
    # Only of outputs: a backbone in the middle may yield several feature maps.
    outputs = {task.output for task in tasks}
    sizes = {one.name: one.output.shape[-1] for one in model.layers if one.name in outputs}
    found = {task.output: sizes.get(task.output) for task in tasks}
    expected = {task.output: task.num_outputs for task in tasks}
    if len(model.outputs) != len(tasks) or found != expected:
        raise RunError(
            f"{file.parent} is damaged: its model and labels.json do not belong together",
            expected=", ".join(f"{name} of {size}" for name, size in expected.items()),
            received=", ".join(f"{name} of {size}" for name, size in found.items()),
            mend="train the run again",
        )
    return model


def load_unknown_scorer(file: Path, num_features: int) -> UnknownScorer:
    """Loads the scorer of a model's features.

    Args:
        file: The run's unknown.npz.
        num_features: F, the features that the model's head reads.

    Raises:
        RunError: The file is damaged, or is for other features.
    """
    try:
        return load_scorer(file, num_features)
    except (OSError, ValueError) as error:
        raise RunError(
            f"{file} cannot be used",
            received=str(error)[:160],
            mend="train the run again, or remove the file to predict without it",
        ) from error


def load_decision_rules(
    file: Path, record: Mapping[str, Any], tasks: Sequence[Task]
) -> dict[str, DecisionRule]:
    """Returns which classes or labels are in the answer, by task that has a rule.

    Args:
        file: The run's metrics.json, for the message.
        record: Its content.
        tasks: What the model predicts.

    Raises:
        RunError: A rule is damaged, or is for other labels.
    """
    try:
        return read_rules(record.get("decision", {}), tasks)
    except ValueError as error:
        raise RunError(
            f"{file} is damaged", received=str(error)[:160], mend="train the run again"
        ) from None
