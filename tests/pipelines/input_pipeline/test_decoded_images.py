"""Decoded images: pixels of the decoder, all in memory or none, and checked against the scan."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipelines.input_pipeline.decoded_images import build_pair_reader, build_reader, decode_images
from pipelines.sources.source import Examples
from tests.support.noise_images import build_noise_examples, encode_png
from tests.support.photographs import encode, photo
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
        image, frame = images.read(tf.constant(index, tf.int64))
        np.testing.assert_array_equal(image, expected)
        assert frame.numpy().tolist() == [0, 0, *expected.shape[:2]]


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
    image, _ = read(tf.constant(0, tf.int64))
    np.testing.assert_array_equal(image, tf.io.decode_png(encoded, channels=3))


@pytest.fixture(scope="module")
def photographs() -> Examples:
    """Photographs and a PNG of many sizes, which a decoder reduces by 1 to 8."""
    sizes = [(40, 50), (90, 70), (130, 261), (300, 280)]
    encoded = [encode(photo(i, size), "JPEG") for i, size in enumerate(sizes)]
    encoded.append(encode(photo(9, (300, 200)), "PNG"))
    shapes = np.array([(height, width) for width, height in [*sizes, (300, 200)]])
    labels = np.zeros(len(encoded), np.int64)
    return Examples(tuple("abcde"), labels, encoded=tuple(encoded), shapes=shapes)


def _assert_same(found: Any, expected: Any) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("ahead_mib", [0, 64])
def test_images_are_decoded_ahead_where_they_fit(photographs: Examples, ahead_mib: int) -> None:
    decoder = ImageDecoder(needed=32)
    read = build_reader(photographs, decoder, ahead_mib=ahead_mib)
    dataset = tf.data.Dataset.range(len(photographs)).map(read)
    for encoded, image in zip(photographs.encoded or (), dataset.as_numpy_iterator(), strict=True):
        _assert_same(image, decoder.decode(encoded))
    operations = dataset._map_func.function.graph.get_operations()
    decodes = any(operation.type == "PartitionedCall" for operation in operations)
    assert decodes == (ahead_mib == 0)


def test_reduced_images_are_kept_at_their_size(photographs: Examples) -> None:
    decoder = ImageDecoder(needed=32)
    images = decode_images(photographs, decoder, 1)
    assert images is not None
    for index, encoded in enumerate(photographs.encoded or ()):
        _assert_same(images.read(tf.constant(index, tf.int64)), decoder.decode(encoded))
    # Reduced, the photographs fit where whole ones do not.
    many = photographs.take(np.repeat(np.arange(4), 8))
    assert decode_images(many, DECODER, 1) is None
    assert decode_images(many, decoder, 1) is not None


@pytest.mark.parametrize("ahead_mib", [0, 64])
@pytest.mark.parametrize("with_shapes", [True, False])
def test_pairs_are_what_each_decoder_decodes(
    photographs: Examples, with_shapes: bool, ahead_mib: int
) -> None:
    if not with_shapes:
        photographs = replace(photographs, shapes=None)
    plain, larger = ImageDecoder(needed=32), ImageDecoder(needed=60)
    read = build_pair_reader(photographs, plain, larger, ahead_mib=ahead_mib)
    pairs = tf.data.Dataset.range(len(photographs)).map(read).as_numpy_iterator()
    for encoded, (image, other) in zip(photographs.encoded or (), pairs, strict=True):
        _assert_same(image, plain.decode(encoded))
        _assert_same(other, larger.decode(encoded))
