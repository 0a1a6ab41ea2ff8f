"""Examination of an image's bytes: formats that decode, reasons for those that do not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipelines.sources.dataset import open_source
from pipelines.sources.examination import decode_image
from tests.support.photographs import Fill, encode, photo

TRUNCATED = encode(photo(1))[:-300]
UNDECODABLE = {
    "empty file": b"",
    "cut off": TRUNCATED,
    "cut off, its end a little earlier": encode(photo(1))[:-2],
    "not an image (starts with 'Dear diary, toda')": b"Dear diary, today",
    "not an image (nothing but zeros)": bytes(900),
    "TIFF is not supported: convert it to JPEG or PNG": encode(photo(1), "TIFF"),
    "HEIC is not supported: convert it to JPEG or PNG": b"\0\0\0\x18ftypheic" + bytes(50),
    "AVIF is not supported: convert it to JPEG or PNG": b"\0\0\0\x18ftypavif" + bytes(50),
    "JPEG 2000 is not supported: convert it to JPEG or PNG": encode(photo(1), "JPEG2000"),
    "not an image but a PDF": b"%PDF-1.7",
    "cut off PNG": encode(photo(1), "PNG")[:-200],
    "cut off GIF": encode(photo(1), "GIF")[:-300],
    "cut off BMP": encode(photo(1), "BMP")[:-300],
    "cut off WebP": encode(photo(1), "WEBP")[:-300],
    "damaged PNG": encode(photo(1), "PNG")[:300] + bytes(50) + encode(photo(1), "PNG")[350:],
    "BMP of 1 bits a pixel is not supported: convert it to PNG": encode(photo(1, mode="1"), "BMP"),
    "BMP with a palette is not supported: convert it to PNG": encode(photo(1, mode="P"), "BMP"),
}


@pytest.mark.parametrize("reason", UNDECODABLE)
def test_undecodable_bytes_are_explained(reason: str) -> None:
    expected = "cut off" if reason.startswith("cut off") else reason
    assert decode_image(UNDECODABLE[reason]) == (None, expected)


DECODABLE = {
    "gray JPEG": encode(photo(2, mode="L")),
    "CMYK JPEG": encode(photo(2, mode="CMYK")),
    "progressive JPEG": encode(photo(2), progressive=True),
    "JPEG with something after its end": encode(photo(2)) + b"more",
    "RGBA PNG": encode(photo(2, mode="RGBA"), "PNG"),
    "palette PNG": encode(photo(2, mode="P"), "PNG"),
    "16-bit PNG": encode(Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40)), "PNG"),
    "BMP": encode(photo(2), "BMP"),
    "RGBA BMP": encode(photo(2, mode="RGBA"), "BMP"),
    "gray BMP": encode(photo(2, mode="L"), "BMP"),
    "GIF": encode(photo(2), "GIF"),
    "animated GIF": encode(photo(2), "GIF", save_all=True, append_images=[photo(3)]),
    "WebP": encode(photo(2), "WEBP"),
}


@pytest.mark.parametrize("kind", DECODABLE)
def test_decodable_formats_are_accepted(kind: str, fill: Fill) -> None:
    image, problem = decode_image(DECODABLE[kind])
    assert image is not None
    assert problem == ""
    fill("ants", 2, odd__jpg=DECODABLE[kind])
    source = open_source(str(fill("bees", 2)))
    assert sum(len(part) for part in source.splits.values()) == 5
