"""TFDS builder of the embedded data set `textures`, whose images `drawing` draws.

Importing this module registers the builder, so that `tfds.builder("textures")` finds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from pipelines.sources.textures import drawing

SEED = 1
SPLITS = {"train": (0, 1600), "val": (1600, 1800), "test": (1800, 2000)}
"""First index and end index (exclusive) of each split; any ten in a row hold each class once."""


class Textures(tfds.core.GeneratorBasedBuilder):
    """Ten classes of drawn textures, 64x64: 1,600 train, 200 val, 200 test images.

    Each image also has a tint, a list of litter, an angle and a contrast, for runs
    with several tasks; see `drawing.Drawing`.

    Meant for first runs, tests and demonstrations: it needs no download and no
    license, and still takes a convolutional network to classify.
    """

    # Caches key prepared images by this version: raise it when any pixel changes.
    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES: dict[str, str] = {  # noqa: RUF012 - TFDS expects a plain dict
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
            disable_shuffling=True,  # Keeps the order of the indices within a split.
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, Any]]]:
        del dl_manager  # Nothing to download.
        return {name: self._generate_examples(*span) for name, span in SPLITS.items()}

    def _generate_examples(self, start: int, stop: int) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in range(start, stop):
            drawn = drawing.draw(index, seed=SEED)
            yield index, vars(drawn) | {"label": index % len(drawing.TEXTURES)}
