"""Thumbnails: as the network sees an image, and no more than there is room for."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from pipelines.inspection.report.thumbnails import Thumbnails, encode_thumbnail
from pipelines.sources.source import Examples
from zoo.decoding.image_decoder import ImageDecoder

pytestmark = pytest.mark.train


def open_address(address: str) -> Image.Image:
    head, _, body = address.partition(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(body)))


def save(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def halves(size: tuple[int, int]) -> Image.Image:
    """Returns an image whose upper half is red and whose lower half is blue."""
    image = Image.new("RGB", size, "red")
    image.paste("blue", (0, size[1] // 2, *size))
    return image


def test_photograph_is_upright_and_keeps_its_proportions() -> None:
    # Stored on its side: Orientation 6 is shown turned clockwise by 90 degrees.
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = halves((100, 200))
    stored = save(upright.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=exif)
    shown = open_address(encode_thumbnail(stored, ImageDecoder(), 120)).convert("RGB")
    assert shown.size == (60, 120)
    assert np.abs(np.subtract(shown.getpixel((30, 20)), (255, 0, 0))).max() < 30
    assert np.abs(np.subtract(shown.getpixel((30, 100)), (0, 0, 255))).max() < 30


@pytest.mark.parametrize("background", [(255, 255, 255), (10, 200, 30)])
def test_transparent_image_is_composited(background: tuple[int, int, int]) -> None:
    content = save(Image.new("RGBA", (40, 40), (0, 0, 0, 0)), "PNG")
    shown = open_address(encode_thumbnail(content, ImageDecoder(background), 120)).convert("RGB")
    assert shown.size == (40, 40)
    assert shown.getpixel((20, 20)) == background


def test_same_image_gives_the_same_bytes() -> None:
    content = save(halves((300, 200)), "JPEG")
    assert encode_thumbnail(content, ImageDecoder(), 99) == encode_thumbnail(
        content, ImageDecoder(), 99
    )


@pytest.fixture(scope="module")
def examples() -> Examples:
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (90, 90, 3), np.uint8)) for _ in range(6)]
    encoded = tuple(save(image, "PNG") for image in images)
    return Examples(tuple(map(str, range(6))), np.zeros(6, np.int64), encoded=encoded)


def test_budget_of_characters_is_kept(examples: Examples) -> None:
    whole = Thumbnails(10**7, 100).embed(examples, range(6), ImageDecoder(), 64)
    assert list(whole) == list(range(6))
    budget = sum(len(whole[index]) for index in range(3)) + 10
    thumbnails = Thumbnails(budget, 100)
    found = thumbnails.embed(examples, [0, 1, 2, 3, 4, 5], ImageDecoder(), 64)
    assert found == {index: whole[index] for index in range(3)}
    assert not thumbnails.embed(examples, [5], ImageDecoder(), 64)


def test_number_of_images_is_kept_over_calls(examples: Examples) -> None:
    thumbnails = Thumbnails(10**7, 4)
    assert len(thumbnails.embed(examples, [5, 4, 3], ImageDecoder(), 32)) == 3
    assert list(thumbnails.embed(examples, [2, 1, 0], ImageDecoder(), 32)) == [2]
