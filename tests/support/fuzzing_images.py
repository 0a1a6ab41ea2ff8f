"""Readers of image files, one for each format; they need TensorFlow for some.

Run as `python -m tests.support.fuzzing_images [NAME…]`.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines.sources.examining.examination import examine_image, prepare_image
from tests.support.fuzzing_loop import Reader, run
from tests.support.fuzzing_mutations import mutate_bytes
from tests.support.heic import HEIC
from tests.support.photographs import encode, photo

MAX_PIXELS = 10**6

_GRAY_16 = Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40))

_SAMPLES = {
    "JPEG": [
        encode(photo(2)), encode(photo(2), progressive=True), encode(photo(2, mode="CMYK")),
        encode(photo(2), exif=Image.Exif()), encode(photo(2, mode="L"), subsampling=0),
    ],
    "PNG": [
        encode(photo(2), "PNG"), encode(photo(2, mode="P"), "PNG"), encode(_GRAY_16, "PNG"),
        encode(photo(2, mode="RGBA"), "PNG"), encode(photo(2, mode="1"), "PNG"),
    ],
    "GIF": [
        encode(photo(2), "GIF"), encode(photo(2), "GIF", save_all=True, append_images=[photo(3)]),
    ],
    "BMP": [
        encode(photo(2), "BMP"), encode(photo(2, mode="P"), "BMP"),
        encode(photo(2, mode="RGBA"), "BMP"), encode(photo(2, mode="1"), "BMP"),
    ],
    "WebP": [encode(photo(2), "WEBP"), encode(photo(2, mode="RGBA"), "WEBP", lossless=True)],
    "TIFF": [
        encode(photo(2), "TIFF"), encode(_GRAY_16, "TIFF"), encode(photo(2), "TIFF", big_tiff=True),
        encode(photo(2), "TIFF", compression="tiff_lzw"),
        encode(photo(2), "TIFF", compression="jpeg"),
        encode(photo(2, mode="1"), "TIFF", compression="group4"),
    ],
    "PNM": [
        encode(photo(2), "PPM"), encode(photo(2, mode="L"), "PPM"),
        b"P3\n40 30\n255\n" + b"1 2 3\n" * 1200,
    ],
    "TGA": [encode(photo(2), "TGA"), encode(photo(2, mode="P"), "TGA", compression="tga_rle")],
    "AVIF": [encode(photo(2), "AVIF")],
    "HEIC": [HEIC],
}  # fmt: skip


def _reader(kind: str) -> Reader:
    name = "it.tga" if kind == "TGA" else "it"

    def mutate(rng: random.Random) -> bytes:
        return mutate_bytes(rng.choice(_SAMPLES[kind]), rng)

    def read(content: bytes, _: Path) -> None:
        scan = examine_image(name, content, max_pixels=MAX_PIXELS).scan
        if not scan.problem and not (scan.width > 0 and scan.height > 0 and scan.colors > 0):
            raise AssertionError(f"neither an image nor a problem: {scan}")
        prepared, problem = prepare_image(name, content, MAX_PIXELS)
        if bool(prepared) == bool(problem) or "\n" in problem + scan.problem:
            raise AssertionError(f"{len(prepared)} bytes and {problem!r}")

    # Loads the libraries, which takes longer than a case may.
    read(_SAMPLES[kind][0], Path())
    return Reader(kind, _SAMPLES[kind], mutate, read)


if __name__ == "__main__":
    # What the libraries of formats print is theirs; here it would be thousands of lines.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    run([lambda folder, kind=kind: _reader(kind) for kind in _SAMPLES], sys.argv[1:])  # type: ignore[misc]
