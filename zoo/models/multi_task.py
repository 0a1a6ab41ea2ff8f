"""Several tasks on one trunk: a Keras model that answers with a dictionary.

    images float32 [B, S, S, 3] → normalization → backbone → shared layers of the head
      → for each task: hidden layers of its own → logits [B, K] → its answer [B, K]

Caruana, 1997, https://doi.org/10.1023/A:1007379606734: what one task learns helps the
others, most where labels are few. It is made of Keras' own layers alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zoo.heads.head import HeadConfig, build_hidden_layer, build_hidden_layers
from zoo.models.classifier import build_features
from zoo.preprocessing import Normalization
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
    normalization: Normalization | None = None,
) -> Any:
    """Builds a model of several tasks.

    Args:
        backbone: An architecture (random weights) or `architecture.tag`.
        size: Height and width of the images, in pixels.
        head: The layers between the backbone and the tasks, which share them.
        tasks: Named, with their classes; a number's mean and deviation are built in.
        frozen: Whether the backbone's weights are kept; see `build_logits_model`.
        hidden: Units of the hidden layers a task has of its own, by its name; they
            are built as the head's are.
        truncate_blocks: How many of the backbone's blocks to leave out, from the top.
        normalization: Of the pixels, instead of the backbone's own.

    Returns:
        A `keras.Model` from images float32 [B, S, S, 3] in 0 to 255 to a dictionary by
        the tasks' names: float32 [B, C] probabilities, of single labels summing to 1,
        or float32 [B, 1], the number in its own unit.

    Raises:
        UnknownNameError: No such backbone.
        RecipeError: `size` is too small for it.
        WeightsError: Its weight file is not to be had or not the right one.
        FetchError: Its download broke off.
    """
    import keras
    from keras import layers

    images, features = build_features(
        backbone, size, frozen=frozen, truncate_blocks=truncate_blocks, normalization=normalization
    )
    trunk = build_hidden_layers(features, head)
    answers = {}
    for task in tasks:
        x = trunk
        for number, units in enumerate((hidden or {}).get(task.name, ()), start=1):
            x = build_hidden_layer(x, units, head, f"{task.name}_hidden{number}")
        if task.kind == "regression":
            x = _steady(x, task)
        logits = layers.Dense(task.num_outputs, name=f"{task.name}_logits", dtype="float32")(x)
        answers[task.name] = _answer(task)(logits)
    return keras.Model(images, answers, name="multi_task")


def _steady(x: Any, task: Task) -> Any:
    """Brings what a number is computed from to mean 0 and total variance 1.

    The gradient of a squared error grows with the error, unlike that of the losses of
    classes. On the raw features of a frozen backbone it makes every usual learning rate
    too large: its curvature is 2 · E‖x‖², some hundreds. So it is at most 2.
    """
    from keras import layers

    x = layers.BatchNormalization(
        momentum=0.9, center=False, scale=False, name=f"{task.name}_norm"
    )(x)
    return layers.Rescaling(x.shape[-1] ** -0.5, name=f"{task.name}_scale")(x)


def _answer(task: Task) -> Any:
    from keras import layers

    if task.kind == "single_label":
        return layers.Softmax(name=task.output, dtype="float32")
    if task.kind == "multi_label":
        return layers.Activation("sigmoid", name=task.output, dtype="float32")
    return layers.Rescaling(task.std, task.mean, name=task.output, dtype="float32")
