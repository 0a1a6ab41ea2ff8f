"""The loader beside exported models: the pixels of the project's own preprocessing."""

from __future__ import annotations

import ast
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from zoo.export import load_image as module
from zoo.export.graph import resize as resize_in_graph
from zoo.export.load_image import load_image, resize
from zoo.preprocessing import Preprocessing

SIZES = ((300, 211), (97, 260), (61, 37))
FITS = ("crop", "stretch", "pad")
KERNELS = ("bilinear", "bicubic", "lanczos3")


def draw(height: int, width: int, seed: int) -> Image.Image:
    """Smooth colors under a little noise, as of a photograph."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3)).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))
    noisy = smooth + rng.normal(0, 6, smooth.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def save_all(folder: Path) -> list[Path]:
    """Writes files of every format, mode and orientation."""
    files: list[Path] = []
    for number, (height, width) in enumerate(SIZES):
        image = draw(height, width, number)
        gray = image.convert("L")
        transparent = image.convert("RGBA")
        transparent.putalpha(gray)
        exif = Image.Exif()
        exif[0x0112] = (1, 6, 7)[number]
        for name, kind, options in (
            ("a.jpg", image, {"exif": exif, "quality": 90}),
            ("b.jpg", image, {"exif": exif, "subsampling": 0}),
            ("gray.jpg", gray, {}),
            ("inks.jpg", image.convert("CMYK"), {}),
            ("a.png", image, {}),
            ("gray.png", gray, {}),
            ("palette.png", image.convert("P"), {}),
            ("transparent.png", transparent, {}),
            ("transparent.webp", transparent, {"lossless": True}),
            ("a.webp", image, {}),
            ("a.gif", image, {}),
            ("a.bmp", image, {}),
        ):
            files.append(folder / f"{number}-{name}")
            kind.save(files[-1], **options)
        files.append(folder / f"{number}-deep.png")
        deep = np.random.default_rng(number).integers(0, 2**16, (height, width)).astype(np.uint16)
        Image.fromarray(deep).save(files[-1])
    return files


@pytest.mark.train
@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing(size=32, background="#ff8000"),
        Preprocessing(size=64, fit="pad", interpolation="bicubic"),
        Preprocessing(size=96, fit="stretch", interpolation="lanczos3", decode="full"),
    ],
    ids=lambda value: f"{value.fit}-{value.interpolation}",
)
def test_every_file_has_the_pixels_of_training(
    preprocessing: Preprocessing, tmp_path: Path
) -> None:
    for file in save_all(tmp_path):
        expected = preprocessing(tf.constant(file.read_bytes())).numpy().astype(int)
        apart = np.abs(load_image(file, **preprocessing.model_dump()) - expected)
        # What is one apart was rounded from a half, give or take the last bit.
        assert apart.max() <= 1, file.name
        assert np.mean(apart > 0) < 0.005, file.name


@pytest.mark.parametrize(("fit", "kernel"), list(itertools.product(FITS, KERNELS)))
def test_resizing_is_that_of_tensorflow_in_numpy_and_in_the_graph(fit: str, kernel: str) -> None:
    preprocessing = Preprocessing.model_validate({"size": 24, "fit": fit, "interpolation": kernel})
    for height, width in (*SIZES, (24, 24), (5, 9)):
        pixels = np.asarray(draw(height, width, seed=height))
        expected = preprocessing.fit_image(tf.constant(pixels)).numpy().astype(int)
        frame = float(height), float(width)
        in_graph = resize_in_graph(tf.constant(pixels[np.newaxis], tf.float32), preprocessing)
        for found in (resize(pixels, frame, 24, fit, kernel), in_graph.numpy()[0]):
            apart = np.abs(found.astype(int) - expected)
            assert apart.max() <= 1
            # Of 5 rows made 24, many pixels are halves, which TensorFlow rounds as they come.
            assert np.mean(apart > 0) < 0.02


@pytest.mark.parametrize("kernel", KERNELS)
def test_image_of_the_right_size_stays_as_it_is(kernel: str) -> None:
    pixels = np.asarray(draw(40, 40, seed=1))
    for fit in FITS:
        np.testing.assert_array_equal(resize(pixels, (40.0, 40.0), 40, fit, kernel), pixels)


@pytest.mark.parametrize("kernel", KERNELS)
def test_pixels_do_not_depend_on_the_order_of_sums(kernel: str) -> None:
    # Turned by 180 degrees, an image is summed from its other end; halves are common at 1 : 2.
    for height, width, size in ((128, 128, 64), (301, 212, 53), (97, 260, 24)):
        pixels = np.asarray(draw(height, width, seed=height))
        frame = float(height), float(width)
        turned = resize(np.ascontiguousarray(pixels[::-1, ::-1]), frame, size, "crop", kernel)
        upright = resize(pixels, frame, size, "crop", kernel)
        np.testing.assert_array_equal(turned[::-1, ::-1], upright)


def test_loader_imports_numpy_pillow_and_the_standard_library_alone() -> None:
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported - set(sys.stdlib_module_names) == {"numpy", "PIL"}
