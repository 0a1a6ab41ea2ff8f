"""The smallest data set and recipe that learn something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = ("blue", "green", "red")

# A backbone with batch normalization on small images; everything else is the default.
TINY: dict[str, Any] = {
    "backbone": {"name": "micro_resnet_s", "frozen": True},
    "input": {"size": 32, "batch_size": 8},
    "head": {"hidden": [8]},
    "train": {"epochs": 3},
    "optimizer": {"learning_rate": 0.05},
    # Nothing to measure before training.
    "augment": {"policy": "photo"},
    "features": {"views": 4},
    "penalty": {"name": "none"},
}


def write_images(folder: Path, per_class: int, seed: int = 0) -> Path:
    """Writes JPEG files of random sizes in three class folders: a color each, plus noise."""
    rng = np.random.default_rng(seed)
    for channel, name in enumerate(reversed(CLASSES)):
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            shape = (*rng.integers(30, 60, 2), 3)
            pixels = rng.normal(90, 30, shape)
            pixels[..., channel] += 80
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(folder / name / f"{number:03d}.jpg", quality=95)
    return folder
