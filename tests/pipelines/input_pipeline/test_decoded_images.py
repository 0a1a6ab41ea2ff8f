"""Decoded images: pixels of the decoder, all in memory or none, and checked against the scan."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipelines.input_pipeline.decoded_images import build_reader, decode_images
from pipelines.sources.source import Examples
from tests.support.noise_images import build_noise_examples, encode_png
from zoo.decoding.image_decoder import ImageDecoder
from zoo.errors import DataError

DECODER = ImageDecoder()


@pytest.fixture(scope="module")
def examples() -> Examples:
    return build_noise_examples(20, 4)


def test_decoded_images_are_those_of_the_decoder(examples: Examples) -> None:
    images = decode_images(examples, DECODER, 1)
    assert images is not None
    for index, encoded in enumerate(examples.encoded or ()):
        expected = tf.io.decode_png(encoded, channels=3)
        np.testing.assert_array_equal(images.read(tf.constant(index, tf.int64)), expected)


def test_images_are_decoded_only_if_all_fit(examples: Examples) -> None:
    # 64 × 64 pixels of 3 bytes are 12 KiB: 85 of them fit 1 MiB.
    encoded = encode_png(np.zeros((64, 64, 3), np.uint8))

    def copies(count: int, encoded: bytes) -> Examples:
        names = tuple(map(str, range(count)))
        shapes = np.full((count, 2), 64)
        labels = np.zeros(count, np.int64)
        return Examples(names, labels, encoded=(encoded,) * count, shapes=shapes)

    assert decode_images(copies(85, encoded), DECODER, 1) is not None
    # Decoding one of these would raise.
    assert decode_images(copies(86, b"no image"), DECODER, 1) is None
    assert decode_images(replace(examples, shapes=None), DECODER, 64) is None, "unknown sizes"


@pytest.mark.parametrize("now", [b"no image", encode_png(np.zeros((9, 9, 3), np.uint8))])
def test_image_that_changed_since_its_scan_is_named(examples: Examples, now: bytes) -> None:
    encoded = examples.encoded or ()
    changed = replace(examples, names=("a.png", *examples.names[1:]), encoded=(now, *encoded[1:]))
    with pytest.raises(DataError, match=r"a\.png changed .*expected 16 × 24 pixels.*; start again"):
        decode_images(changed, DECODER, 64)


def test_reader_takes_file_names_that_are_not_unicode(tmp_path: Path, examples: Examples) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    encoded = (examples.encoded or ())[0]
    path.write_bytes(encoded)
    read = build_reader(Examples(("caf\\xe9.png",), np.zeros(1, np.int64), files=(path,)), DECODER)
    image = read(tf.constant(0, tf.int64))
    np.testing.assert_array_equal(image, tf.io.decode_png(encoded, channels=3))
