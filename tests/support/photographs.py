"""Random photographs and class folders on disk."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
from PIL import Image


def photo(seed: int, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> Image.Image:
    """Returns an image of noise, which has as many colors as a photograph."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encode(image: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    """Returns the bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def copy_some(data: Path, to: Path, most: int) -> Path:
    """Copies the first photographs of each folder of a data set; returns the new folder."""
    for folder in sorted({image.parent for image in data.rglob("*.jpg")}):
        target = to / folder.relative_to(data)
        target.mkdir(parents=True)
        for image in sorted(folder.glob("*.jpg"))[:most]:
            shutil.copy(image, target)
    return to


class Fill:
    """Makes class folders: `fill("train/ants", 10)` writes ten photographs there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.written = 0

    def __call__(self, folder: str, count: int = 0, **files: bytes) -> Path:
        """Writes photographs and `files` (`a__jpg` for a.jpg); returns the root."""
        target = self.root / folder
        target.mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            content = encode(photo(self.written, (12, 10)))
            (target / f"{self.written:04d}.jpg").write_bytes(content)
            self.written += 1
        for name, content in files.items():
            (target / name.replace("__", ".")).write_bytes(content)
        return self.root
