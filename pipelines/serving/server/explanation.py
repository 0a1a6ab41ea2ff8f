"""What in an image speaks for a class, for the page to draw: Grad-CAM of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.sources.examining.formats import HEAD_BYTES, format_of
from pipelines.sources.examining.image_header import read_header
from pipelines.storage.run_folder import RunFolder
from zoo.models.activation_maps import ActivationMaps, has_feature_maps, scale_maps
from zoo.preprocessing import Preprocessing
from zoo.tasks import TASK_KINDS


@dataclass(frozen=True)
class Explainer:
    """Computes activation maps of a run's classes.

    Args:
        maps: By task with classes.
        preprocessing: How an image reaches the network.
    """

    maps: dict[str, ActivationMaps]
    preprocessing: Preprocessing

    def compute(self, image: Any, task: str, index: int) -> list[list[float]]:
        """Computes the map of a class.

        Args:
            image: uint8 [S, S, 3], prepared for the network.
            task: The task's name.
            index: The class.

        Returns:
            Rows of values in 0 to 1, a value for each place of the feature maps.
        """
        images = np.asarray(image, np.float32)[np.newaxis]
        (scaled,) = scale_maps(self.maps[task].compute(images, np.array([index])))
        return [[round(value, 4) for value in row] for row in scaled.tolist()]

    def box(self, name: str, content: bytes) -> dict[str, float]:
        """Returns the part of an image that the network sees.

        Args:
            name: The file's name, which tells some formats.
            content: The bytes of a file that the network has read.

        Returns:
            `left`, `top`, `width` and `height`, in shares of the upright image; what is beyond
            it is padding.
        """
        header = read_header(format_of(content[:HEAD_BYTES], name), content)
        height, width = float(header.height), float(header.width)
        top, left, box_height, box_width = self.preprocessing.compute_boxes(height, width)
        return {
            "left": left / width,
            "top": top / height,
            "width": box_width / width,
            "height": box_height / height,
        }


def open_explainer(run: RunFolder) -> Explainer | None:
    """Returns the explainer of a run; None where its network has no feature maps.

    Args:
        run: A finished one.
    """
    import keras

    if keras.backend.backend() != "tensorflow" or not has_feature_maps(run.model):
        return None
    maps = {
        task.name: ActivationMaps(run.model, task)
        for task in run.tasks
        if TASK_KINDS[task.kind].has_classes
    }
    return Explainer(maps, run.recipe.input.preprocessing) if maps else None
