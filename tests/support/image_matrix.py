"""Image files of every format, mode, depth, orientation and transparency, made by Pillow.

The oracle is Pillow: `exif_transpose`, composited over a background, converted to RGB.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

ORIENTATIONS = range(1, 9)
ORIENTATION_TAG = 0x0112
HEIGHT, WIDTH = 37, 50
Pixels = npt.NDArray[np.uint8]


def draw() -> Image.Image:
    """Draws a smooth image without symmetry, transparent in one corner and in part elsewhere."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    waves = [127 + 120 * np.sin(x / a + y / b) for a, b in ((5, 9), (7, -4), (11, 6), (9, 3))]
    pixels = np.stack(waves, axis=-1).round().astype(np.uint8)
    pixels[5:15, 5:15, 3], pixels[20:30, 20:30, 3] = 0, 255
    return Image.fromarray(pixels, "RGBA")


def build_exif(orientation: int, *, big: bool = True) -> bytes:
    """Returns EXIF data with an orientation alone, in either byte order."""
    order, head = (">", b"MM\0*") if big else ("<", b"II*\0")
    entry = struct.pack(f"{order}HHIHH", ORIENTATION_TAG, 3, 1, orientation, 0)
    body = struct.pack(f"{order}IH", 8, 1) + entry + struct.pack(f"{order}I", 0)
    return b"Exif\0\0" + head + body


def show(encoded: bytes, background: tuple[int, int, int] = (255, 255, 255)) -> Pixels:
    """Returns what Pillow shows, uint8 [H, W, 3]."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))).convert("RGBA")
    behind = Image.new("RGBA", image.size, (*background, 255))
    return np.asarray(Image.alpha_composite(behind, image).convert("RGB"))


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    """Returns the bytes of a file; WebP without loss, JPEG with colors at full resolution."""
    usual: dict[str, object] = {}
    if kind == "WEBP":
        usual = {"lossless": True, "exact": True}
    if kind == "JPEG":
        usual = {"subsampling": 0, "quality": 95}
    file = io.BytesIO()
    image.save(file, kind, **(usual | options))
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    """Returns a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def cut_pixels(png: bytes, size: int, *, behind: bytes = b"") -> bytes:
    """Returns a PNG file with its pixels in chunks of another size, and more chunks behind."""
    position, head, pixels = 8, png[:8], b""
    while position < len(png):
        length, name = struct.unpack(">I4s", png[position : position + 8])
        whole = png[position : position + 12 + length]
        if name == b"IDAT":
            pixels += whole[8:-4]
        elif name != b"IEND":
            head += whole
        position += 12 + length
    parts = [chunk(b"IDAT", pixels[i : i + size]) for i in range(0, len(pixels), size)]
    return head + b"".join(parts) + behind + chunk(b"IEND", b"")


def encode_words(words: npt.NDArray[np.uint16]) -> bytes:
    """Encodes a PNG of 16 bits: [H, W] gray, [H, W, 2] with alpha, [H, W, 3] RGB or 4 RGBA."""
    channels = 1 if words.ndim == 2 else words.shape[2]
    color_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", words.shape[1], words.shape[0], 16, color_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in words)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def build_matrix() -> dict[str, bytes]:
    """Builds one file of each kind, by a name that says what it is."""
    return dict(_build_files())


def _build_files() -> Iterator[tuple[str, bytes]]:
    image = draw()
    rgb, gray = image.convert("RGB"), image.convert("L")
    palette = rgb.quantize(20)
    gray_key = {"transparency": int(np.asarray(gray)[3, 4])}
    rgb_key = {"transparency": tuple(int(v) for v in np.asarray(rgb)[3, 4])}
    png = {
        "1 bit": (gray.convert("1"), {}),
        "gray": (gray, {}),
        "gray, one transparent": (gray, gray_key),
        "gray with alpha": (image.convert("LA"), {}),
        "palette": (palette, {}),
        "palette, one transparent": (palette, {"transparency": 3}),
        "palette with alphas": (palette, {"transparency": bytes(range(0, 200, 10))}),
        "RGB": (rgb, {}),
        "RGB, one transparent": (rgb, rgb_key),
        "RGBA": (image, {}),
    }
    for name, (picture, options) in png.items():
        for orientation in ORIENTATIONS:
            exif = build_exif(orientation, big=orientation % 2 == 0)
            tagged = options if orientation == 1 else {**options, "exif": exif}
            yield f"PNG {name}, {orientation}", encode(picture, "PNG", **tagged)
    for orientation, size in ((6, 100), (8, 10**6), (3, 64)):
        behind = chunk(b"eXIf", build_exif(orientation)[6:])
        cut = cut_pixels(encode(rgb, "PNG"), size, behind=behind)
        yield f"PNG with its tag at the end, {orientation}", cut
    photographs = {"RGB": rgb, "gray": gray, "CMYK": rgb.convert("CMYK")}
    for name, picture in photographs.items():
        for progressive in (False, True):
            for orientation in ORIENTATIONS:
                tag = {} if orientation == 1 else {"exif": build_exif(orientation)}
                form = f"JPEG {name}{' progressive' * progressive}, {orientation}"
                yield form, encode(picture, "JPEG", progressive=progressive, **tag)
    for orientation in ORIENTATIONS:
        exif = build_exif(orientation, big=orientation % 2 == 0)
        plain, profile = encode(rgb, "JPEG"), bytes(range(256)) * 255
        comment, padding = b"\xff\xfe\x00\x05abc", b"\xff" * (orientation - 1)
        other = b"\xff\xe1\x00\x10http://ns.a/\0\0"
        tag = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
        icc = b"\xff\xe2" + struct.pack(">H", 65282) + profile
        marked = plain[:2] + comment + icc + other + padding + tag + plain[2:]
        yield f"JPEG with its tag behind a profile, {orientation}", marked
    inks = encode(rgb.convert("CMYK"), "JPEG")
    adobe = inks.index(b"\xff\xee")
    yield "JPEG CMYK without Adobe's marker", inks[:adobe] + inks[adobe + 16 :]
    ycck = bytearray(inks)
    ycck[adobe + 15] = 2
    yield "JPEG YCCK", bytes(ycck)
    for name, picture in {
        "RGB": rgb,
        "RGBA": image,
        "gray with alpha": image.convert("LA"),
    }.items():
        for orientation in ORIENTATIONS:
            tag = {} if orientation == 1 else {"exif": build_exif(orientation)}
            yield f"WebP {name}, {orientation}", encode(picture, "WEBP", **tag)
            if orientation in (1, 6):
                later = [picture.rotate(180)]
                moving = encode(picture, "WEBP", save_all=True, append_images=later, **tag)
                yield f"WebP {name} animated, {orientation}", moving
    yield "WebP lossy RGB, 1", encode(rgb, "WEBP", lossless=False)
    yield "WebP lossy RGBA, 1", encode(image, "WEBP", lossless=False)
    for name in ("gray", "palette", "palette, one transparent", "RGBA"):
        picture, options = png[name]
        yield f"GIF {name}", encode(picture, "GIF", **options)
        yield f"GIF {name}, interlaced", encode(picture, "GIF", interlace=1, **options)
        yield f"GIF {name}, small frame", place_frame(encode(picture, "GIF", **options))
    later = [rgb.rotate(180).quantize(20)]
    animated = encode(palette, "GIF", save_all=True, append_images=later, comment=b"c" * 300)
    yield "GIF animated", animated
    for name in ("gray", "palette", "RGB", "RGBA"):
        yield f"BMP {name}", encode(png[name][0], "BMP")
    for masks in ((2, 1, 0, 3), (2, 1, 0, None), (3, 2, 1, None), (3, 2, 1, 0), (0, 1, 2, 3)):
        yield f"BMP of masks {masks}", encode_bmp(image, masks)


def place_frame(gif: bytes) -> bytes:
    """Returns a GIF file whose frame stands at (7, 4) of a larger canvas."""
    canvas = struct.pack("<HH", WIDTH + 20, HEIGHT + 10)
    colors = 2 << (gif[10] & 7) if gif[10] & 128 else 0
    descriptor = gif.index(struct.pack("<BHHHH", 0x2C, 0, 0, WIDTH, HEIGHT), 13 + 3 * colors)
    moved = gif[: descriptor + 1] + struct.pack("<HH", 7, 4) + gif[descriptor + 5 :]
    return moved[:6] + canvas + moved[10:]


def encode_bmp(image: Image.Image, places: tuple[int | None, ...]) -> bytes:
    """Encodes a BMP of 32 bits whose masks say which byte of a pixel each channel is."""
    pixels = np.asarray(image)[::-1]
    stored = np.zeros_like(pixels)
    for channel, place in enumerate(places):
        if place is not None:
            stored[..., place] = pixels[..., channel]
    masks = [0 if place is None else 0xFF << (8 * place) for place in places]
    header = struct.pack("<IiiHHIIiiII", 124, WIDTH, HEIGHT, 1, 32, 3, stored.size, 0, 0, 0, 0)
    header += struct.pack("<IIII", *masks) + bytes(124 - 56)
    return b"BM" + struct.pack("<IHHI", 138 + stored.size, 0, 0, 138) + header + stored.tobytes()
