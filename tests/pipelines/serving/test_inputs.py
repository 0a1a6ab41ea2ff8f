"""Inputs of prediction: every kind of image gives the prediction of its file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.serving.inputs import list_inputs
from pipelines.serving.run import Run
from zoo.errors import DataError, InputError


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "noise.png"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def _decoded(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def test_every_kind_becomes_the_bytes_of_the_same_image(file: Path) -> None:
    pixels = np.asarray(Image.open(file))
    kinds: list[Any] = [file, str(file), file.read_bytes(), bytearray(file.read_bytes())]
    kinds += [Image.open(file), pixels, file.parent, np.stack([pixels, pixels])]
    inputs = list_inputs(kinds)
    assert [each.name for each in inputs] == [
        *[str(file)] * 2,
        *(f"images[{position}]" for position in range(2, 6)),
        str(file),
        "images[7]",
        "images[8]",
    ]
    for each in inputs:
        assert np.array_equal(_decoded(each.read()), pixels)
    for kind in kinds[:-1]:
        assert np.array_equal(_decoded(list_inputs(kind)[0].read()), pixels)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_pictures_of_every_mode_are_taken(mode: str, file: Path) -> None:
    picture = Image.open(file).convert(mode)
    decoded = _decoded(list_inputs(picture)[0].read())
    assert decoded.shape[:2] == (40, 50)
    if mode in ("CMYK", "YCbCr", "HSV"):
        assert np.array_equal(decoded, np.asarray(picture.convert("RGB")))


def test_picture_is_set_upright(file: Path) -> None:
    picture = Image.open(file)
    picture.getexif()[274] = 6
    decoded = _decoded(list_inputs(picture)[0].read())
    assert np.array_equal(decoded, np.rot90(np.asarray(Image.open(file)), -1))


@pytest.mark.parametrize("channels", [(), (1,), (4,)])
def test_arrays_of_other_channels_are_taken(channels: tuple[int, ...]) -> None:
    pixels = np.full((9, 7, *channels), 200, np.uint8)
    decoded = _decoded(list_inputs(pixels)[0].read())
    assert np.array_equal(decoded, pixels[..., 0] if channels == (1,) else pixels)


@pytest.mark.parametrize(
    ("image", "received"),
    [
        (np.zeros((8, 8, 3), np.float32), r"float32 \[8, 8, 3\]"),
        (np.zeros((8, 8, 2), np.uint8), r"uint8 \[8, 8, 2\]"),
        (np.zeros((0, 8, 3), np.uint8), r"uint8 \[0, 8, 3\]"),
        (np.zeros(3, np.uint8), r"uint8 \[3\]"),
        (3, "int"),
        ([3], "int"),
        (None, "NoneType"),
    ],
    ids=str,
)
def test_what_is_no_image_is_refused(image: object, received: str) -> None:
    with pytest.raises(InputError, match=f"received {received}"):
        list_inputs(image)


def test_no_image_is_refused() -> None:
    with pytest.raises(DataError, match="there is no image to classify"):
        list_inputs([])


def test_run_predicts_every_kind_alike_and_loads_its_model_once(
    tiny_run: Run, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.open(tiny_run.path)
    file = tiny_folder / "red" / "000.jpg"
    with Image.open(file) as picture:
        pixels = np.asarray(picture)
        images = [file, str(file), file.read_bytes(), picture, pixels, b"no image"]
        predictions = run.predict(images)
    model = run.model
    again = run.predict(file)
    assert run.model is model
    probabilities = [prediction.probabilities for prediction in (*predictions[:5], *again)]
    assert probabilities[:5] == [probabilities[0]] * 5
    # One image may take other kernels than a batch.
    assert probabilities[5] == pytest.approx(probabilities[0], abs=1e-6)
    assert predictions[0].label == "red"
    assert predictions[5].error
    with pytest.raises(DataError, match=r"images\[5\] has no prediction"):
        _ = predictions[5].label
