"""The embedded data set `textures`, as a TFDS builder; `drawing` draws its images.

Importing this module registers it, so that `tfds.builder("textures")` finds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from pipelines.sources.textures import drawing

SEED = 1
SPLITS = {"train": (0, 1600), "val": (1600, 1800), "test": (1800, 2000)}
"""First and one past the last index of each split; ten in a row hold each class once."""


class Textures(tfds.core.GeneratorBasedBuilder):
    """Ten classes of drawn textures, 64x64: 1,600 train, 200 val, 200 test images.

    Beside its class, an image has a tint, litter on it, an angle and a contrast; see
    `drawing.Drawing`.

    For a first run, for tests and for demonstrations: no download, no license to
    read, and yet a task that takes a convolutional network.
    """

    # Prepared images are kept under this number: whatever changes a pixel must raise it.
    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES: dict[str, str] = {  # noqa: RUF012 - TFDS reads it so
        "1.0.0": "Ten classes.",
        "1.1.0": "The same images; tint, litter, angle and contrast of each.",
    }

    def _info(self) -> tfds.core.DatasetInfo:
        shape = (drawing.SIZE, drawing.SIZE, 3)
        return tfds.core.DatasetInfo(
            builder=self,
            description="Drawn textures, ten classes, deterministic.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=shape, encoding_format="png"),
                    "label": tfds.features.ClassLabel(names=list(drawing.TEXTURES)),
                    "tint": tfds.features.ClassLabel(names=["blue", "green", "red"]),
                    "litter": tfds.features.Sequence(
                        tfds.features.ClassLabel(names=["disc", "stick"])
                    ),
                    "angle": np.float32,
                    "contrast": np.float32,
                }
            ),
            supervised_keys=("image", "label"),
            disable_shuffling=True,  # So the fifth image of a split stays its fifth.
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, Any]]]:
        del dl_manager  # Nothing to download.
        return {name: self._generate_examples(*span) for name, span in SPLITS.items()}

    def _generate_examples(self, start: int, stop: int) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in range(start, stop):
            drawn = drawing.sketch(index, seed=SEED)
            yield index, vars(drawn) | {"label": index % len(drawing.TEXTURES)}
