"""Spotlights: what a model looks at in an image, as a mask that darkens the rest of it."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.input_pipeline.datasets import build_image_dataset
from pipelines.inspection.report.report_data import Spotlight
from pipelines.sources.source import Examples
from zoo.models.activation_maps import ActivationMaps, has_feature_maps, scale_maps
from zoo.preprocessing import Preprocessing
from zoo.tasks import Task

_DARKEST = 200
"""Opacity of black where nothing speaks for the class, 0 to 255; that of the style sheet, which
darkens what the network does not see."""

_BATCH_SIZE = 32


def compute_spotlights(
    model: Any,
    task: Task,
    examples: Examples,
    preprocessing: Preprocessing,
    indices: Sequence[int],
    classes: Mapping[str, npt.NDArray[np.int64]],
) -> dict[int, list[Spotlight]]:
    """Computes what speaks for some classes in some images, by Grad-CAM.

    Args:
        model: A classifier.
        task: One of its tasks, with classes.
        examples: Images that decode, N of them.
        preprocessing: How they reach the network.
        indices: Which of them.
        classes: int64 [N], by what the class is of an image, such as `answer`.

    Returns:
        A spotlight for each class, by index; empty where the model has no feature maps.
    """
    if not indices or not has_feature_maps(model):
        return {}
    chosen = examples.take(indices)
    maps = ActivationMaps(model, task)
    of_images: dict[int, list[Spotlight]] = {index: [] for index in indices}
    first = 0
    for images in build_image_dataset(chosen, preprocessing, _BATCH_SIZE).as_numpy_iterator():
        batch = np.asarray(indices[first : first + len(images)])
        first += len(images)
        for subject, of_class in classes.items():
            scaled = scale_maps(maps.compute(images.astype(np.float32), of_class[batch]))
            for index, one in zip(batch.tolist(), scaled, strict=True):
                box = _place(preprocessing, examples, index)
                of_images[index].append(Spotlight(subject, encode_mask(one), *box))
    return of_images


def encode_mask(scaled: npt.NDArray[np.float32]) -> str:
    """Returns a map as the data address of a black PNG, transparent where the map is 1.

    Args:
        scaled: float32 [h, w] in 0 to 1.
    """
    from PIL import Image

    opacity = np.rint(_DARKEST * (1 - scaled)).astype(np.uint8)
    pixels = np.stack([np.zeros_like(opacity), opacity], axis=-1)
    buffer = io.BytesIO()
    Image.fromarray(pixels, "LA").save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _place(
    preprocessing: Preprocessing, examples: Examples, index: int
) -> tuple[float, float, float, float]:
    """Returns what the network sees of an image that is centered in a square frame.

    Returns:
        Left, top, width and height in percent of the frame.
    """
    height, width = examples.shapes[index].tolist() if examples.shapes is not None else (1, 1)
    frame = max(height, width)
    top, left, box_height, box_width = preprocessing.compute_boxes(height, width)
    left, top = (frame - width) / 2 + left, (frame - height) / 2 + top
    parts = (100 * part / frame for part in (left, top, box_width, box_height))
    return tuple(round(part, 2) for part in parts)
