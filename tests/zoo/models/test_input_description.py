"""The description in model.keras: who follows it with Pillow sees what the model sees."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from zoo.models.input_description import KEY, describe_input, read_description, write_description
from zoo.preprocessing import Preprocessing
from zoo.tasks import classification

KERNELS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos3": Image.Resampling.LANCZOS,
}


def follow(wanted: dict[str, Any], file: Path | io.BytesIO) -> np.ndarray:
    """Does with Pillow what a description says; returns float32 [S, S, 3]."""
    size = wanted["size"]
    with Image.open(file) as opened:
        side = (max if wanted["fit"] == "pad" else min)(opened.size)
        if wanted["decode"] == "scaled":
            reduction = max(part for part in (1, 2, 4, 8) if part == 1 or side // part >= size)
            opened.draft("RGB", (opened.width // reduction, opened.height // reduction))
        image = ImageOps.exif_transpose(opened)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            behind = Image.new("RGBA", image.size, wanted["background"])
            image = Image.alpha_composite(behind, image)
        image = image.convert("RGB")
    width, height = image.size
    if wanted["fit"] == "stretch":
        box = (0.0, 0.0, float(width), float(height))
    elif wanted["fit"] == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
    else:
        image = ImageOps.pad(image, (max(width, height),) * 2, color="black")
        box = (0.0, 0.0, float(max(width, height)), float(max(width, height)))
    resized = image.resize((size, size), KERNELS[wanted["interpolation"]], box=box)
    return np.asarray(resized, np.float32)


def _files() -> dict[str, bytes]:
    """A photograph that is scaled down, one on its side, an odd size and a transparent one."""
    rng = np.random.default_rng(0)

    def draw(width: int, height: int, channels: int = 3) -> Image.Image:
        coarse = rng.integers(0, 256, (9, 11, channels)).astype(np.uint8)
        return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)

    turned = Image.Exif()
    turned[0x0112] = 6
    files = {}
    for name, image, options in [
        ("large.jpg", draw(416, 312), {"quality": 95}),
        ("turned.jpg", draw(160, 96), {"quality": 95, "exif": turned}),
        ("odd.png", draw(68, 45), {}),
        ("transparent.png", draw(80, 64, 4), {}),
    ]:
        buffer = io.BytesIO()
        image.save(buffer, {"jpg": "JPEG", "png": "PNG"}[name[-3:]], **options)
        files[name] = buffer.getvalue()
    return files


@pytest.mark.train
@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
@pytest.mark.parametrize("interpolation", list(KERNELS))
def test_who_follows_the_description_with_pillow_sees_what_the_model_sees(
    fit: str, interpolation: str
) -> None:
    preprocessing = Preprocessing(
        size=32, fit=fit, interpolation=interpolation, background="#204060", decode="full"
    )
    wanted = json.loads(json.dumps(describe_input(preprocessing, classification(["a", "b"]))))
    assert wanted["input"]["shape"] == [None, 32, 32, 3]
    for name, content in _files().items():
        if fit == "pad" and name == "odd.png":
            continue  # by half a pixel, which Pillow cannot pad
        expected = preprocessing(content).numpy().astype(int)
        difference = np.abs(follow(wanted["input"], io.BytesIO(content)) - expected)
        # Pillow rounds between rows and columns, and blends black borders by another rule.
        inside = difference if fit != "pad" else difference[12:20, 12:20]
        assert inside.max() <= 3, (name, inside.max())
        assert inside.mean() < 0.6, (name, inside.mean())


@pytest.mark.train
def test_tensorflow_and_antialiasing_are_the_same_bits() -> None:
    preprocessing = Preprocessing(size=32, fit="stretch", interpolation="bicubic", decode="full")
    content = _files()["odd.png"]
    image = tf.io.decode_png(content, channels=3)
    resized = tf.image.resize(image, (32, 32), "bicubic", antialias=True)
    by_hand = tf.saturate_cast(tf.round(resized), tf.uint8)
    assert np.abs(by_hand.numpy().astype(int) - preprocessing(content).numpy()).max() <= 1


@pytest.mark.train
def test_description_is_in_the_file_that_keras_loads(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    file = tmp_path / "model.keras"
    model.save(file)
    assert read_description(file) is None
    with zipfile.ZipFile(file) as archive:
        before = {name: archive.read(name) for name in archive.namelist()}
    description = describe_input(Preprocessing(size=8), classification(["ant", "bee"]))
    write_description(file, description)
    assert read_description(file) == description
    with zipfile.ZipFile(file) as archive:
        after = {name: archive.read(name) for name in archive.namelist()}
    metadata = json.loads(after.pop("metadata.json"))
    assert metadata.pop(KEY)["tasks"][0]["class_names"] == ["ant", "bee"]
    assert metadata == json.loads(before.pop("metadata.json"))
    assert after == before
    assert keras.models.load_model(file).output_shape == (None, 192)
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_run_is_predicted_by_plain_keras_as_by_the_run(tiny_run: Any, tiny_folder: Path) -> None:
    description = read_description(tiny_run.path / "model.keras")
    assert description is not None
    model = keras.models.load_model(tiny_run.path / "model.keras", compile=False)
    files = sorted(tiny_folder.rglob("*.jpg"))[::7]
    batch = np.stack([follow(description["input"], file) for file in files])
    found = model.predict(batch, verbose=0)
    names = description["tasks"][0]["class_names"]
    for row, prediction in zip(found, tiny_run.predict(files), strict=True):
        assert names[int(row.argmax())] == prediction.label
        assert abs(float(row.max()) - prediction.probability) < 0.01
