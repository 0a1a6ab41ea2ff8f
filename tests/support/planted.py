"""Images with structure at every scale, as photographs have it, and near-duplicates of them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageEnhance, ImageOps


def build_image(
    seed: int, size: tuple[int, int] = (120, 90), tint: tuple[int, int, int] = (128, 128, 128)
) -> Image.Image:
    """Returns an image of random fields, the coarser the stronger.

    Args:
        seed: Another one gives another image.
        size: Width and height.
        tint: The mean color.
    """
    rng = np.random.default_rng(seed)
    pixels = np.zeros((size[1], size[0], 3)) + tint
    for side, strength in ((3, 40), (6, 30), (12, 20), (24, 15), (48, 8)):
        field = Image.fromarray(rng.normal(size=(side, side)).astype(np.float32))
        pixels += strength * np.asarray(field.resize(size, Image.Resampling.BICUBIC))[..., None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def build_near_duplicates(image: Image.Image) -> dict[str, Image.Image]:
    """Returns the image encoded again, smaller, cropped, mirrored and brighter."""
    width, height = image.size
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=60)
    x, y = round(0.05 * width), round(0.05 * height)
    return {
        "encoded again": Image.open(buffer).convert("RGB"),
        "smaller": image.resize((round(0.7 * width), round(0.7 * height))),
        "cropped at a corner": image.crop((x, y, width, height)),
        "cropped at one edge": image.crop((x, 0, width, height)),
        "cropped at every edge": image.crop((x, y, width - x, height - y)),
        "mirrored": ImageOps.mirror(image),
        "brighter": ImageEnhance.Brightness(image).enhance(1.1),
    }
