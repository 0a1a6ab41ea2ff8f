"""Scaled decode: by the largest reduction that leaves what the network needs, and no other."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from tests.support.image_matrix import build_exif, build_matrix, draw
from zoo.decoding.image_decoder import ImageDecoder
from zoo.preprocessing import Preprocessing


def _encode(height: int, width: int, mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    draw().convert(mode).resize((width, height)).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("fit", "height", "width", "reduction"),
    [
        ("crop", 31, 400, 1),
        ("crop", 63, 64, 1),
        ("crop", 64, 64, 2),
        ("crop", 127, 300, 2),
        ("crop", 300, 128, 4),
        ("crop", 255, 256, 4),
        ("crop", 257, 256, 8),
        ("crop", 700, 900, 8),
        ("stretch", 64, 300, 2),
        ("pad", 64, 300, 8),
        ("pad", 31, 20, 1),
    ],
)
def test_reduction_is_the_largest_that_leaves_the_size(
    fit: Any, height: int, width: int, reduction: int
) -> None:
    preprocessing = Preprocessing(size=32, fit=fit)
    expected = -(-height // reduction), -(-width // reduction), 3
    assert preprocessing.decoder(_encode(height, width)).shape == expected
    assert preprocessing.decoder.reductions(np.array([[height, width]])) == [reduction]
    full = preprocessing.model_copy(update={"decode": "full"})
    assert full.decoder(_encode(height, width)).shape == (height, width, 3)


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    "options",
    [{"subsampling": 2}, {"progressive": True}, {"subsampling": 1, "restart_marker_blocks": 3}],
)
def test_pixels_are_those_of_libjpeg_at_that_size(
    mode: str, options: dict[str, Any], orientation: int
) -> None:
    tag = {} if orientation == 1 else {"exif": build_exif(orientation)}
    encoded = _encode(261, 347, mode, **options, **tag)
    image = ImageDecoder(needed=130)(encoded).numpy()
    plain = tf.io.decode_jpeg(encoded, channels=3, ratio=2, dct_method="INTEGER_ACCURATE")
    turned = np.rot90(plain, {1: 0, 3: 2, 6: 3}[orientation])
    np.testing.assert_array_equal(image, turned)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_frame_is_the_exact_size_turned_with_the_pixels(orientation: int) -> None:
    tag = {} if orientation == 1 else {"exif": build_exif(orientation)}
    encoded = _encode(261, 347, **tag)
    image, frame = ImageDecoder(needed=60).decode(encoded)
    # Where the image lies of 66 × 87 pixels: a mask turned by Pillow.
    mask = Image.new("L", (87 * 4, 66 * 4))
    mask.paste(255, (0, 0, 347, 261))
    if orientation > 1:
        mask.getexif()[0x0112] = orientation
        mask = ImageOps.exif_transpose(mask)
    left, top, right, bottom = mask.getbbox() or ()
    assert image.shape[:2] == (mask.height // 4, mask.width // 4)
    expected = [top / 4, left / 4, (bottom - top) / 4, (right - left) / 4]
    assert frame.numpy().tolist() == expected
    assert ImageDecoder().decode(encoded)[1].numpy().tolist()[:2] == [0, 0]


@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_box_is_that_of_the_whole_image(fit: Any) -> None:
    """The box of a ramp shows where it lies: its values are positions of the whole image.

    Taken from ⌈H / r⌉ × ⌈W / r⌉ pixels, it would be up to 0.44 pixels of these, or 3.5 of the
    whole image, beside its place.
    """
    preprocessing = Preprocessing(size=32, fit=fit)
    for height, width in ((257, 391), (391, 257), (263, 263), (129, 200), (65, 71)):
        positions = np.mgrid[:height, :width] + 0.5
        pixels = np.zeros((height, width, 3))
        pixels[..., 0], pixels[..., 1] = positions * 256 / 400
        encoded = io.BytesIO()
        image = Image.fromarray(np.round(pixels).astype(np.uint8))
        image.save(encoded, "JPEG", quality=100, subsampling=0)
        found = preprocessing(encoded.getvalue()).numpy()[..., :2].astype(float)
        side = min(height, width)
        sides = np.array([side, side] if fit == "crop" else [height, width])
        starts = (np.array([height, width]) - sides) / 2
        expected = starts[:, None] + (np.arange(32) + 0.5) * sides[:, None] / 32
        for axis in (0, 1):
            inside = found[..., axis].mean(axis=1 - axis)[2:-2]
            np.testing.assert_allclose(inside * 400 / 256, expected[axis, 2:-2], atol=1.2)
            assert abs((inside * 400 / 256 - expected[axis, 2:-2]).mean()) < 0.4


def test_other_formats_keep_their_size() -> None:
    for name, file in build_matrix().items():
        small, full = ImageDecoder(needed=8)(file), ImageDecoder()(file)
        if name.startswith("JPEG"):
            assert min(small.shape[:2]) == -(-min(full.shape[:2]) // 4), name
        else:
            np.testing.assert_array_equal(small, full, err_msg=name)


@pytest.mark.slow
def test_views_of_a_part_need_more_pixels() -> None:
    preprocessing = Preprocessing(size=32)
    encoded = _encode(256, 256)
    for smallest_view, side in ((1.0, 32), (0.99, 64), (0.5, 64), (0.3, 128), (0.1, 256)):
        assert preprocessing.build_decoder(smallest_view)(encoded).shape == (side, side, 3)
    full = preprocessing.model_copy(update={"decode": "full"}).build_decoder(0.5)
    assert full == ImageDecoder()


@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
def test_result_is_that_of_the_whole_image_but_for_rounding(fit: Any) -> None:
    scaled = Preprocessing(size=48, fit=fit)
    full = scaled.model_copy(update={"decode": "full"})
    for height, width in ((200, 304), (496, 400), (96, 104)):
        encoded = _encode(height, width, quality=95)
        difference = np.abs(scaled(encoded).numpy().astype(int) - full(encoded).numpy())
        assert difference.mean() < 1.0
        assert np.quantile(difference, 0.99) <= 8
