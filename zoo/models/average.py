"""The mean of several models as one: their answers to an image, averaged.

Networks that were trained apart err apart, and the mean of their probabilities is right more
often, and better calibrated, than the mean of them is. Reference: Lakshminarayanan et al., 2017,
https://arxiv.org/abs/1612.01474
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo.tasks import Task, unwrap, wrap


def build_average(models: Sequence[Any], tasks: Sequence[Task]) -> Any:
    """Builds a model that answers with the mean of several models' answers.

    Args:
        models: Keras models from images float32 [B, S, S, 3] in 0 to 255, of one size, to what
            `tasks` say; it shares their weights.
        tasks: What they predict.

    Returns:
        A `keras.Model` from such images to the means: probabilities, or numbers in the unit of
        a task.
    """
    import keras

    images = keras.Input(models[0].input.shape[1:], name="images", dtype="float32")
    found = []
    for number, model in enumerate(models, start=1):
        member = keras.Model(model.input, model.output, name=f"member{number}")
        found.append(wrap(tasks, member(images)))
    means = {
        task.name: keras.layers.Average(name=task.output, dtype="float32")(
            [answers[task.name] for answers in found]
        )
        for task in tasks
    }
    return keras.Model(images, unwrap(tasks, means), name="average")
