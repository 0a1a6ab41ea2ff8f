"""Decoding in the graph against Pillow, over every kind of file."""

from __future__ import annotations

import io
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.support.image_matrix import (
    ORIENTATION_TAG,
    build_exif,
    build_matrix,
    draw,
    encode,
    encode_words,
    show,
)
from zoo.decoding.image_decoder import ImageDecoder
from zoo.decoding.jpeg import decode_bare_jpeg
from zoo.decoding.orientation import read_orientation
from zoo.decoding.png import is_bare_png

FILES = build_matrix()
DECODER = ImageDecoder()


def _decode_all(files: list[bytes], decoder: ImageDecoder) -> list[np.ndarray]:
    """Decodes files as an input pipeline does."""
    return list(tf.data.Dataset.from_tensor_slices(files).map(decoder).as_numpy_iterator())


def test_matrix_is_decoded_as_pillow_shows_it() -> None:
    for name, image in zip(FILES, _decode_all([*FILES.values()], DECODER), strict=True):
        np.testing.assert_array_equal(image, show(FILES[name]), err_msg=name)


def test_background_is_that_of_the_decoder() -> None:
    background = (10, 200, 77)
    transparent = {name: file for name, file in FILES.items() if "RGBA" in name or "one" in name}
    decoded = _decode_all([*transparent.values()], ImageDecoder(background))
    for name, image in zip(transparent, decoded, strict=True):
        np.testing.assert_array_equal(image, show(transparent[name], background), err_msg=name)


def test_plain_files_are_the_decoders_own_bits() -> None:
    rgb = draw().convert("RGB")
    jpeg, png = encode(rgb, "JPEG", subsampling=2), encode(rgb, "PNG")
    expected = tf.io.decode_jpeg(jpeg, channels=3, dct_method="INTEGER_ACCURATE")
    np.testing.assert_array_equal(DECODER(jpeg), expected)
    np.testing.assert_array_equal(DECODER(png), tf.io.decode_png(png, channels=3))


@pytest.mark.slow
def test_bytes_are_decoded_as_in_the_graph() -> None:
    decoders = [DECODER, ImageDecoder((10, 200, 77), depth=10)]
    decoders += [ImageDecoder(needed=n, longer=longer) for n in (1, 4, 7) for longer in (0, 1)]
    for decoder in decoders:
        for name, content in FILES.items():
            for ours, of_graph in zip(
                decoder.decode_bytes(content), decoder.decode(content), strict=True
            ):
                np.testing.assert_array_equal(ours, of_graph, err_msg=name)
    bare = [content for content in FILES.values() if is_bare_png(content)]
    assert 2 < len(bare) < len(FILES) / 2
    for end in range(0, 60, 7):
        assert not is_bare_png(bare[0][:end])


def test_jpeg_of_pixels_alone_needs_no_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    is_bare = {name: decode_bare_jpeg(content, None) is not None for name, content in FILES.items()}
    assert 2 < sum(is_bare.values()) < len(FILES) / 2
    assert all("JPEG" in name for name, bare in is_bare.items() if bare)
    monkeypatch.setattr(ImageDecoder, "decode", None)
    for name, bare in is_bare.items():
        if bare:
            np.testing.assert_array_equal(DECODER.decode_bytes(FILES[name])[0], show(FILES[name]))
    content = next(FILES[name] for name, bare in is_bare.items() if bare)
    assert all(decode_bare_jpeg(content[:end], None) is None for end in range(0, 20, 3))
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_bare_jpeg(content[:40], None)


@pytest.mark.parametrize("depth", [8, 10, 12, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_words_of_fewer_bits_fill_the_range(depth: int, channels: int) -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**depth, (9, 11, channels)).astype(np.uint16)
    # One value beyond the range is as bright as can be.
    words[0, 0, 0] = 65535
    alpha = 255 if channels % 2 else rng.integers(0, 256, (9, 11, 1))
    if channels % 2 == 0:
        words[..., -1:] = alpha * 257
    encoded = encode_words(words[..., 0] if channels == 1 else words)
    colors = words[..., : channels - 1 + channels % 2]
    shades = np.minimum(colors.astype(int) >> (depth - 8), 255) * np.ones(3, int)
    expected = np.floor((shades * alpha + 255 * (255 - alpha)) / 255 + 0.5)
    np.testing.assert_array_equal(ImageDecoder(depth=depth)(encoded), expected)


def test_depth_leaves_files_of_eight_bits_alone() -> None:
    names = ["PNG gray, 1", "PNG RGBA, 1", "PNG palette, one transparent, 6"]
    decoded = _decode_all([FILES[name] for name in names], ImageDecoder(depth=10))
    for name, image in zip(names, decoded, strict=True):
        np.testing.assert_array_equal(image, show(FILES[name]), err_msg=name)


def test_key_of_sixteen_bits_is_compared_in_full() -> None:
    words = np.array([[0x1234, 0x1235], [0x1234, 0xFFFF]], np.uint16)
    png = encode_words(words)
    key = b"\0\0\0\x02tRNS\x12\x34"
    keyed = png[:33] + key + struct.pack(">I", zlib.crc32(key[4:])) + png[33:]
    expected = [[255, 0x12], [255, 255]]
    np.testing.assert_array_equal(DECODER(keyed)[..., 0], expected)


@pytest.mark.parametrize("big", [True, False])
@pytest.mark.parametrize("orientation", [*range(11), 65535])
def test_orientation_is_that_of_pillow(orientation: int, big: bool) -> None:
    exif = build_exif(orientation, big=big)
    expected = Image.Exif()
    expected.load(exif)
    found = expected.get(ORIENTATION_TAG, 1)
    for data in (exif, exif[6:]):
        assert int(read_orientation(tf.constant(data))) == (found if found in range(1, 9) else 1)


@pytest.mark.parametrize("kind", [3, 4, 1, 5])
def test_orientation_of_another_type_is_read_if_it_is_a_number(kind: int) -> None:
    value = struct.pack("<HH", 6, 0)
    entry = struct.pack("<HHI", ORIENTATION_TAG, kind, 1) + value
    other = struct.pack("<HHIHH", 0x0100, 3, 1, 8, 0)
    exif = b"II*\0" + struct.pack("<IH", 8, 2) + other + entry + bytes(4)
    assert int(read_orientation(tf.constant(exif))) == (6 if kind in (3, 4) else 1)


@pytest.mark.parametrize("size", [0, 1, 5, 7, 8, 9, 10, 18])
def test_orientation_of_damaged_exif_data_is_upright(size: int) -> None:
    assert int(read_orientation(tf.constant(build_exif(6)[6:][:size]))) == 1
    assert int(read_orientation(tf.constant(b"XX" + build_exif(6)[8:]))) == 1
    assert int(read_orientation(tf.constant(b"MM\0*\x7f\xff\xff\xff" + bytes(20)))) == 1


@pytest.mark.parametrize("cut", [0, 1, 3, 11, 20, 40, 100])
@pytest.mark.parametrize(
    "name",
    ["PNG RGBA, 6", "JPEG RGB, 6", "WebP RGBA, 6", "GIF palette", "BMP RGBA", "JPEG CMYK, 1"],
)
def test_cut_files_are_errors(name: str, cut: int) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        DECODER(FILES[name][:cut])


def test_every_byte_may_be_wrong() -> None:
    # Whatever is damaged, the graph decodes some image or raises an error of its own.
    rng = np.random.default_rng(0)
    names = ["PNG RGBA, 6", "JPEG RGB, 6", "WebP RGBA animated, 6", "GIF RGBA, small frame"]
    for name in names:
        file = np.frombuffer(FILES[name], np.uint8)
        for position in rng.integers(4, min(len(file), 200), 40):
            damaged = file.copy()
            damaged[position] = rng.integers(256)
            try:
                assert DECODER(damaged.tobytes()).shape[2] == 3
            except tf.errors.OpError:
                continue


@pytest.mark.parametrize(
    ("name", "position", "canvas"),
    [
        ("WebP RGBA animated, 6", 24, b"\xff\xff\xff\xff\x01\x00"),
        ("GIF RGBA", 6, b"\xff\xff\xff\xff"),
    ],
)
def test_canvas_of_gigabytes_is_refused(name: str, position: int, canvas: bytes) -> None:
    file = FILES[name]
    with pytest.raises(tf.errors.InvalidArgumentError):
        DECODER(file[:position] + canvas + file[position + len(canvas) :])


def test_unknown_bytes_are_an_error() -> None:
    for content in (b"", b"Dear diary", b"\x00" * 40):
        with pytest.raises(tf.errors.InvalidArgumentError):
            DECODER(content)


def test_bmp_that_would_be_misread_is_refused() -> None:
    runs = bytearray(encode(draw().convert("L"), "BMP"))
    runs[30] = 1
    with pytest.raises(tf.errors.InvalidArgumentError):
        DECODER(bytes(runs))
    file = io.BytesIO()
    draw().convert("1").save(file, "BMP")
    with pytest.raises(tf.errors.InvalidArgumentError):
        DECODER(file.getvalue())


def test_many_threads_share_one_graph_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "PNG")
    decoder, together = ImageDecoder(needed=8, depth=9), threading.Barrier(12)

    def decode() -> np.ndarray:
        together.wait()
        return np.asarray(decoder(file.getvalue()))

    tf.get_logger().addHandler(caplog.handler)
    try:
        with ThreadPoolExecutor(12) as pool:
            images = [job.result() for job in [pool.submit(decode) for _ in range(12)]]
    finally:
        tf.get_logger().removeHandler(caplog.handler)
    assert not caplog.messages
    for image in images:
        np.testing.assert_array_equal(image, np.full((8, 8, 3), (255, 0, 0)))
