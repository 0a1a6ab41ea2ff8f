"""Examination of an image's bytes: formats, sizes, depths, damage, and what is no image."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from pipelines.sources.examining.examination import (
    MAX_PIXELS,
    ImageScan,
    examine_image,
    prepare_image,
)
from pipelines.sources.examining.formats import FORMATS, format_of, why_not_served
from pipelines.sources.opening.dataset import open_source
from tests.support.heic import HEIC, draw_heic
from tests.support.photographs import Fill, encode, photo

SMOOTH = Image.fromarray(np.random.default_rng(5).integers(0, 256, (12, 16, 3), dtype=np.uint8))
SMOOTH = SMOOTH.resize((320, 240), Image.Resampling.BICUBIC)
TIFF_16 = encode(Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40)), "TIFF")


def brands(*names: bytes) -> bytes:
    """Returns the first box of an ISO media file with these brands, and some more bytes."""
    body = names[0] + bytes(4) + b"".join(names[1:])
    return struct.pack(">I", len(body) + 8) + b"ftyp" + body + bytes(50)


def problem_of(content: bytes, name: str = "it") -> str:
    return examine_image(name, content).scan.problem


UNDECODABLE = {
    "empty file": b"",
    "cut off JPEG": encode(photo(1))[:300],
    "not an image (starts with 'Dear diary, toda')": b"Dear diary, today",
    "not an image (nothing but zeros)": bytes(900),
    "JPEG XL is not supported: convert it to JPEG or PNG, as with `djxl`": b"\xff\x0a" + bytes(50),
    "PAM is not supported: convert it to PNG, as with `pamtopng`": b"P7\nWIDTH 3\n",
    "Photoshop is not supported: convert it to JPEG or PNG": b"8BPS" + bytes(50),
    "camera raw is not supported: develop it to JPEG or PNG": b"II*\0\x10\0\0\0CR" + bytes(50),
    "not an image but a PDF": b"%PDF-1.7",
    "not an image but a video": brands(b"isom", b"mp42"),
    "damaged HEIC": brands(b"mif1", b"heic"),
    "damaged AVIF": brands(b"mif1", b"avif"),
    "damaged TIFF": TIFF_16[:8] + bytes(500),
    "cut off TIFF": TIFF_16[:-300],
    "cut off PNG": encode(photo(1), "PNG")[:-200],
    "cut off GIF": encode(photo(1), "GIF")[:-300],
    "cut off BMP": encode(photo(1), "BMP")[:-300],
    "cut off WebP": encode(photo(1), "WEBP")[:-300],
    "damaged PNG": encode(photo(1), "PNG")[:300] + bytes(50) + encode(photo(1), "PNG")[350:],
    "TIFF of fractions is not supported": encode(Image.new("F", (9, 9), 0.5), "TIFF"),
    "TIFF of more than 16 bits is not supported": encode(Image.new("I", (9, 9), 99999), "TIFF"),
}


@pytest.mark.parametrize("reason", UNDECODABLE)
def test_undecodable_bytes_are_explained(reason: str) -> None:
    expected = "cut off" if reason.startswith("cut off") else reason
    found = examine_image("it", UNDECODABLE[reason])
    assert found.scan.problem.startswith(expected)
    assert found.pixels is None
    assert (found.scan.width, found.scan.damage, found.scan.converted) == (0, "", False)


DECODABLE = {
    "gray JPEG": encode(photo(2, mode="L")),
    "CMYK JPEG": encode(photo(2, mode="CMYK")),
    "progressive JPEG": encode(photo(2), progressive=True),
    "JPEG with something after its end": encode(photo(2)) + b"more",
    "JPEG with padding before its end": encode(photo(2))[:-2] + b"\xff" * 9 + b"\xff\xd9",
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
def test_files_that_the_graph_decodes_are_not_converted(kind: str) -> None:
    found = examine_image("it", DECODABLE[kind])
    assert (found.scan.problem, found.scan.damage) == ("", "")
    assert (found.scan.width, found.scan.height) == (40, 30)
    assert found.pixels is None
    assert why_not_served(DECODABLE[kind]) == ""
    assert prepare_image("it", DECODABLE[kind]) == (DECODABLE[kind], "")


def deep(extension: str, largest: int) -> bytes:
    """Returns color of 16 bits, as OpenCV writes it."""
    pixels = np.random.default_rng(3).integers(0, largest + 1, (30, 40, 3)).astype(np.uint16)
    pixels[0, 0] = largest
    return bytes(cv2.imencode(extension, pixels)[1])


CONVERTED = {
    "BMP with a palette": ("BMP", encode(photo(2, mode="P"), "BMP"), 8),
    "BMP of 1 bit": ("BMP", encode(photo(2, mode="1"), "BMP"), 8),
    "TIFF": ("TIFF", encode(photo(2), "TIFF"), 8),
    "TIFF of fax": ("TIFF", encode(photo(2, mode="1"), "TIFF", compression="group4"), 8),
    "TIFF of CMYK": ("TIFF", encode(photo(2, mode="CMYK"), "TIFF", compression="tiff_lzw"), 8),
    "TIFF with alpha": ("TIFF", encode(photo(2, mode="RGBA"), "TIFF"), 8),
    "TIFF of two pages": (
        "TIFF", encode(photo(2), "TIFF", save_all=True, append_images=[photo(3, (9, 9))]), 8,
    ),
    "TIFF of 16 bits": ("TIFF", TIFF_16, 11),
    "TIFF of 16-bit color": ("TIFF", deep(".tiff", 4095), 12),
    "BigTIFF": ("TIFF", encode(photo(2), "TIFF", big_tiff=True), 8),
    "PBM": ("PBM", encode(photo(2, mode="1"), "PPM"), 8),
    "PGM": ("PGM", encode(photo(2, mode="L"), "PPM"), 8),
    "PGM of 10 bits": (
        "PGM", b"P5 40 30 1023\n" + (np.arange(1200) % 1024).astype(">u2").tobytes(), 16,
    ),
    "PPM": ("PPM", encode(photo(2), "PPM"), 8),
    "plain PPM": ("PPM", b"P3\n40 30\n255\n" + b"1 2 3\n" * 1200, 8),
    "PPM of 16 bits": ("PPM", deep(".ppm", 65535), 16),
    "TGA": ("TGA", encode(photo(2), "TGA"), 8),
    "TGA, packed": ("TGA", encode(photo(2, mode="P"), "TGA", compression="tga_rle"), 8),
    "AVIF": ("AVIF", encode(photo(2), "AVIF"), 8),
    "AVIF with alpha": ("AVIF", encode(photo(2, mode="RGBA"), "AVIF"), 8),
    "AVIF of brand mif1": (
        "AVIF", encode(photo(2), "AVIF").replace(b"ftypavif", b"ftypmif1", 1), 8,
    ),
    "JPEG 2000": ("JPEG 2000", encode(photo(2), "JPEG2000"), 8),
    "JPEG 2000 of 16 bits": (
        "JPEG 2000", encode(Image.fromarray(np.full((30, 40), 4000, np.uint16)), "JPEG2000"), 12,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONVERTED)
def test_other_formats_are_named_and_converted(kind: str) -> None:
    form, content, bits = CONVERTED[kind]
    name = "it.tga" if form == "TGA" else "it.jpg"
    found = examine_image(name, content)
    scan = found.scan
    assert (scan.format, scan.problem, scan.damage) == (form, "", "")
    assert (scan.width, scan.height, scan.bits) == (40, 30, bits)
    assert scan.converted
    assert found.pixels is not None
    png, problem = prepare_image(name, content)
    assert problem == ""
    stored = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if bits > 8:
        assert stored.dtype == np.uint16
    else:
        opened = Image.open(io.BytesIO(content))
        expected = np.asarray(opened.convert("RGBA"))
        np.testing.assert_array_equal(
            np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")), expected
        )
    if form != "BMP":
        assert why_not_served(content, name) == (
            f"{form} is not read by an exported model: convert it to JPEG or PNG"
        )


def test_deep_values_are_kept() -> None:
    found = examine_image("it", TIFF_16)
    np.testing.assert_array_equal(found.pixels, np.arange(1200).reshape(30, 40))
    color = cv2.imdecode(np.frombuffer(deep(".tiff", 4095), np.uint8), cv2.IMREAD_UNCHANGED)
    png, _ = prepare_image("it", deep(".tiff", 4095))
    np.testing.assert_array_equal(
        cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED), color
    )
    # The file says which value is white.
    white = b"P5 2 1 1023\n" + np.array([1023, 0], ">u2").tobytes()
    np.testing.assert_array_equal(examine_image("it", white).pixels, [[65535, 0]])


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_bits_of_deep_png_are_those_of_its_largest_value(bits: int) -> None:
    values = np.zeros((30, 40), np.uint16)
    values[7, 5] = 2**bits - 1
    assert examine_image("it", encode(Image.fromarray(values), "PNG")).scan.bits == bits
    transparent = np.full((30, 40, 4), 65535, np.uint16)
    transparent[..., :3] = values[..., np.newaxis]
    png = bytes(cv2.imencode(".png", transparent)[1])
    assert examine_image("it", png).scan.bits == bits


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("AVIF", {}),
    ],
)
def test_sizes_and_conversions_are_upright(
    form: str, options: dict[str, object], orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(photo(1), form, exif=exif, **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    found = examine_image("it", content)
    assert (found.scan.height, found.scan.width) == expected.shape[:2]
    assert found.scan.orientation == orientation
    if form in ("TIFF", "AVIF"):
        np.testing.assert_array_equal(found.pixels, expected)


def test_heic_is_read_upright_with_pi_heif() -> None:
    found = examine_image("it", HEIC)
    assert (found.scan.format, found.scan.problem) == ("HEIC", "")
    assert (found.scan.width, found.scan.height) == (48, 64)
    assert found.pixels is not None
    assert (
        np.abs(found.pixels.astype(int) - draw_heic()).mean() < 4
    )  # of 255; colors are subsampled
    assert why_not_served(HEIC).startswith("HEIC is not read by an exported model")


def test_heic_without_pi_heif_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert problem_of(HEIC) == "HEIC needs pi-heif: pip install 'transfer-zoo[heif]'"


@pytest.mark.parametrize(
    ("kind", "head", "name"),
    [
        ("HEIC", brands(b"heic", b"mif1"), "a.jpg"),
        ("HEIC", brands(b"mif1", b"heic"), "a.jpg"),
        ("HEIC", brands(b"msf1", b"hevc"), "a.jpg"),
        ("AVIF", brands(b"avif"), "a.jpg"),
        ("AVIF", brands(b"mif1", b"miaf", b"avif"), "a.jpg"),
        ("AVIF", brands(b"avis", b"msf1"), "a.jpg"),
        ("video", brands(b"qt  "), "a.jpg"),
        ("JPEG XL", b"\xff\x0a" + bytes(9), "a.jpg"),
        ("JPEG XL", b"\0\0\0\x0cJXL \r\n\x87\n", "a.jpg"),
        ("JPEG 2000", b"\0\0\0\x0cjP  \r\n\x87\n", "a.jpg"),
        ("TIFF", b"MM\0+\0\x08", "a.tif"),
        ("camera raw", b"II*\0" + bytes(30), "a.NEF"),
        ("PGM", b"P5\n3 3\n", "a.txt"),
        ("", b"P5-file", "a.txt"),
        ("TGA", encode(photo(1), "TGA")[:64], "a.TGA"),
        ("", encode(photo(1), "TGA")[:64], "a.jpg"),
        ("", bytes(64), "a.tga"),
    ],
)
def test_format_is_told_by_first_bytes(kind: str, head: bytes, name: str) -> None:
    assert format_of(head, name) == kind
    assert not kind or kind in FORMATS


HALF = encode(SMOOTH)[: len(encode(SMOOTH)) // 2]
PNG = encode(photo(1), "PNG")
GIF = encode(photo(1), "GIF", save_all=True, append_images=[photo(2)])
COMMENTED = PngImagePlugin.PngInfo()
COMMENTED.add_text("Comment", "an old wasp")
COMMENTED_PNG = encode(photo(1), "PNG", pnginfo=COMMENTED).replace(b"old wasp", b"odd wasp")
_IDAT_END = PNG.index(b"IEND") - 8
WRONG_CHECKSUM = PNG[:_IDAT_END] + bytes(4) + PNG[_IDAT_END + 4 :]

PARTIAL = {
    "gray from the middle on": (
        HALF + b"\xff\xd9", "damaged JPEG: premature end of data segment"
    ),
    "cut off in the middle": (HALF, "cut off"),
    "zeros in the middle": (HALF + bytes(90) + encode(SMOOTH)[len(HALF) + 90 :], "damaged JPEG: "),
    "progressive, cut off": (encode(SMOOTH, progressive=True)[:-900], "cut off"),
    "PNG of a wrong checksum": (WRONG_CHECKSUM, "damaged PNG: wrong checksum of IDAT"),
}  # fmt: skip
WHOLE = {
    "JPEG without its end": (encode(SMOOTH)[:-2], "its last bytes are missing"),
    "JPEG without half of its end": (encode(SMOOTH)[:-1], "its last bytes are missing"),
    "JPEG without its last block": (encode(SMOOTH)[:-20], "its last bytes are missing"),
    "progressive": (encode(SMOOTH, progressive=True)[:-9], "its last bytes are missing"),
    "JPEG of another revision": (
        encode(SMOOTH).replace(b"JFIF\0\x01", b"JFIF\0\x02"),
        "damaged JPEG: Warning: unknown JFIF",
    ),
    "padded JPEG": (encode(SMOOTH)[:-2] + bytes(20) + b"\xff\xd9", "stray bytes before its end"),
    "PNG without its end": (PNG[:-12], "its last bytes are missing"),
    "PNG with a damaged comment": (COMMENTED_PNG, "damaged tEXt in its PNG"),
    "GIF without its end": (GIF[:-1], "its last bytes are missing"),
    "GIF cut off in its second frame": (GIF[:-500], "its last bytes are missing"),
}


@pytest.mark.parametrize("kind", [*PARTIAL, *WHOLE])
def test_damage_is_named_and_shown_as_pillow_shows_it(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    content, damage = (PARTIAL | WHOLE)[kind]
    found = examine_image("it", content)
    assert found.scan.damage.startswith(damage)
    assert found.scan.partial == (kind in PARTIAL)
    assert found.scan.problem == ""
    assert found.scan.converted
    repaired = content.replace(b"odd wasp", b"old wasp")
    if found.scan.format == "JPEG":
        repaired += b"\xff\xd9"
    expected = np.asarray(Image.open(io.BytesIO(repaired)).convert("RGB"))
    np.testing.assert_array_equal(found.pixels, expected)
    assert "Corrupt JPEG data" not in capfd.readouterr().err


def test_mutated_files_are_answered(capfd: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(7)
    samples = {name: content for name, (_, content, _) in CONVERTED.items()} | DECODABLE
    for name, content in (samples | {"HEIC": HEIC}).items():
        for _ in range(8):
            mutated = bytearray(content[: rng.choice([len(content), rng.randrange(len(content))])])
            for _ in range(rng.choice([1, 3, 20])):
                if mutated:
                    mutated[rng.randrange(len(mutated))] = rng.randrange(256)
            file = "it.tga" if name.startswith("TGA") else "it"
            scan = examine_image(file, bytes(mutated), max_pixels=10**6).scan
            assert scan.problem or (scan.width > 0 and scan.height > 0 and scan.colors > 0)
    assert "Corrupt JPEG data" not in capfd.readouterr().err


@pytest.mark.parametrize("kind", PARTIAL)
def test_partial_images_are_not_predicted(kind: str) -> None:
    content, damage = PARTIAL[kind]
    assert prepare_image("it", content)[1].startswith(damage)


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_images_are_predicted(kind: str) -> None:
    png, problem = prepare_image("it", WHOLE[kind][0])
    assert problem == ""
    Image.open(io.BytesIO(png)).load()


def test_lossy_pixels_of_progressive_jpeg_count_as_cut_off_before_the_last_scan() -> None:
    content = encode(SMOOTH, progressive=True)
    last_scan = content.rindex(b"\xff\xda")
    assert examine_image("it", content[:last_scan]).scan.partial
    assert examine_image("it", content[:last_scan] + b"\xff").scan.partial


def bilevel(side: int, *, black: int = 0) -> bytes:
    """Returns a white PNG of one bit a pixel; its last row has black pixels."""
    row = b"\0" + b"\xff" * (side // 8)
    last = b"\0" + bytes(black // 8) + b"\xff" * ((side - black) // 8)
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(row) for _ in range(side - 1)) + packer.compress(last)
    data += packer.flush()

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def test_too_large_image_is_refused_by_its_header() -> None:
    assert MAX_PIXELS == 178956970
    found = examine_image("it", bilevel(16384)).scan
    assert found.problem == "16384x16384 pixels are more than data.max_pixels=178956970"
    assert (found.width, found.height, found.colors) == (16384, 16384, 0)
    for content in (encode(photo(1), form) for form in ("JPEG", "PNG", "GIF", "TIFF", "AVIF")):
        assert examine_image("it", content, max_pixels=1200).scan.problem == ""
        assert "40x30 pixels" in examine_image("it", content, max_pixels=1199).scan.problem


@pytest.mark.parametrize("black", [0, 8])
def test_colors_are_counted_over_all_pixels(black: int) -> None:
    assert examine_image("it", bilevel(2048, black=black)).scan.colors == 1 + bool(black)


def test_colors_of_large_photographs_come_from_a_reduced_decode() -> None:
    rng = np.random.default_rng(1)
    drawing = Image.new("RGB", (1600, 1200), "white")
    drawing.paste("red", (300, 300, 1300, 900))
    plain = examine_image("it", encode(drawing, quality=95)).scan
    assert plain.colors == len(np.unique(_pixels(encode(drawing, quality=95)), axis=0))
    noise = rng.integers(0, 256, (150, 200, 3), dtype=np.uint8)
    busy = encode(Image.fromarray(noise).resize((1600, 1200)))
    assert examine_image("it", busy).scan.colors > 1000


def _pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).reshape(-1, 3)


def test_scan_of_usual_photograph_is_complete(fill: Fill) -> None:
    content = encode(photo(1))
    found = examine_image("a/b.jpg", content)
    assert found.scan == ImageScan(
        "a/b.jpg",
        "JPEG",
        width=40,
        height=30,
        colors=len(np.unique(_pixels(content), axis=0)),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    assert found.pixels is None
    np.testing.assert_array_equal(found.image, _pixels(content).reshape(30, 40, 3))
    fill("ants", 2, odd__jpg=CONVERTED["PGM"][1])
    source = open_source(str(fill("bees", 2)))
    assert sum(len(part) for part in source.splits.values()) == 5
