"""Images of random pixels, encoded as PNG, which hold every pixel to the last bit."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from pipelines.sources.source import Examples


def encode_png(pixels: np.ndarray) -> bytes:
    """Encodes an image, uint8 [H, W, 3]."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def build_noise_examples(count: int, num_classes: int) -> Examples:
    """Builds images of 16 × 24, 17 × 24, … random pixels; their classes take turns."""
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (16 + i, 24, 3)).astype(np.uint8) for i in range(count)]
    return Examples(
        names=tuple(f"{i}" for i in range(count)),
        labels=np.arange(count) % num_classes,
        targets={"label": np.arange(count) % num_classes},
        encoded=tuple(encode_png(p) for p in pixels),
        shapes=np.array([p.shape[:2] for p in pixels]),
    )
