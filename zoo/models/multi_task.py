"""Multi-task model: several heads on shared layers, as one Keras model.

    images float32 [B, S, S, 3] in 0 to 255
      → normalization → backbone → shared hidden layers
      → for each task: its own hidden layers → logits [B, K] → predictions [B, K]

Tasks that share layers regularize each other, most where labels are few (Caruana, 1997,
https://doi.org/10.1023/A:1007379606734). The model consists of Keras' own layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zoo.heads.head import HeadConfig, build_hidden_layer, build_hidden_layers
from zoo.models.classifier import build_features
from zoo.normalization import Normalization
from zoo.tasks import Task


def build_multi_task(
    backbone: str,
    size: int,
    head: HeadConfig,
    tasks: Sequence[Task],
    *,
    frozen: bool,
    hidden: Mapping[str, Sequence[int]] | None = None,
    truncate_blocks: int = 0,
    levels: int = 1,
    symmetry: str = "none",
    normalization: Normalization | None = None,
) -> Any:
    """Builds a multi-task model.

    Args:
        backbone: An architecture (random weights) or `architecture.tag`.
        size: Height and width of the images, in pixels.
        head: The hidden layers that the tasks share.
        tasks: Named tasks with their classes. The model scales the prediction of a number
            by the task's mean and standard deviation.
        frozen: Whether the backbone's weights stay as they are; see `build_logits_model`.
        hidden: Units of a task's own hidden layers, by task; `head` says how to build them.
        truncate_blocks: Number of the backbone's blocks to leave out, from the top.
        levels: Feature maps that the head reads: the top's, and those of lower places.
        symmetry: Over which views of an image features are averaged, a row of SYMMETRIES.
        normalization: Replaces the backbone's own normalization of pixels.

    Returns:
        A `keras.Model` from images float32 [B, S, S, 3] in 0 to 255 to a dictionary by
        task: probabilities, float32 [B, C], which sum to 1 for single labels; or a number
        in its own unit, float32 [B, 1].

    Raises:
        UnknownNameError: No such backbone.
        RecipeError: `size` is too small for it, or it has too few blocks or levels.
        WeightsError: Its weight file cannot be found or is the wrong one.
        FetchError: The download of its weights broke off.
    """
    import keras
    from keras import layers

    images, features = build_features(
        backbone,
        size,
        frozen=frozen,
        truncate_blocks=truncate_blocks,
        levels=levels,
        symmetry=symmetry,
        normalization=normalization,
    )
    shared = build_hidden_layers(features, head)
    predictions = {}
    for task in tasks:
        x = shared
        for number, units in enumerate((hidden or {}).get(task.name, ()), start=1):
            x = build_hidden_layer(x, units, head, f"{task.name}_hidden{number}")
        if task.kind == "regression":
            x = _standardize(x, task)
        logits = layers.Dense(task.num_outputs, name=f"{task.name}_logits", dtype="float32")(x)
        predictions[task.name] = _build_output_layer(task)(logits)
    return keras.Model(images, predictions, name="multi_task")


def _standardize(x: Any, task: Task) -> Any:
    """Scales the features of a regression to mean 0 and total variance 1.

    The gradient of a squared error grows with the error, unlike that of a cross-entropy. On
    the raw features of a frozen backbone its curvature is 2 · E‖x‖², some hundreds, which
    makes every usual learning rate too large. On scaled features it is at most 2.

    Args:
        x: A Keras tensor [B, F].
        task: The regression task.

    Returns:
        A Keras tensor [B, F].
    """
    from keras import layers

    x = layers.BatchNormalization(
        momentum=0.9, center=False, scale=False, name=f"{task.name}_norm"
    )(x)
    return layers.Rescaling(x.shape[-1] ** -0.5, name=f"{task.name}_scale")(x)


def _build_output_layer(task: Task) -> Any:
    """Returns the Keras layer from a task's logits to its predictions."""
    from keras import layers

    if task.kind == "single_label":
        return layers.Softmax(name=task.output, dtype="float32")
    if task.kind == "multi_label":
        return layers.Activation("sigmoid", name=task.output, dtype="float32")
    return layers.Rescaling(task.std, task.mean, name=task.output, dtype="float32")
