"""Formats of image files by their first bytes, and why a file is no image of one that is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from zoo.table import Table

HEAD_BYTES = 64
"""Number of first bytes that tell the format."""

Reader = Literal["graph", "conversion", "none"]


@dataclass(frozen=True)
class ImageFormat:
    """A format of files.

    Args:
        name: As in messages.
        summary: What is read of it, or what to do with it instead.
        reader: `graph` if training, evaluation and exported models decode it; `conversion`
            if the scan decodes it once and keeps the pixels in the cache, which an exported
            model cannot; `none` if it is not read.
        signatures: First bytes of such files, any of them.
        extensions: Lower-case file name extensions.
        plugin: Module and class in Pillow that reads it; `pi_heif` for HEIC.
    """

    name: str
    summary: str
    reader: Reader = "none"
    signatures: tuple[bytes, ...] = ()
    extensions: tuple[str, ...] = ()
    plugin: str = ""


_CONVERT = "convert it to JPEG or PNG"

FORMATS: Table[ImageFormat] = Table(
    "image format",
    [
        ImageFormat(
            "JPEG",
            "gray, color and CMYK",
            "graph",
            (b"\xff\xd8\xff",),
            (".jpg", ".jpeg", ".jpe", ".jfif"),
            "JpegImagePlugin.JpegImageFile",
        ),
        ImageFormat(
            "PNG",
            "1 to 16 bits",
            "graph",
            (b"\x89PNG\r\n\x1a\n",),
            (".png",),
            "PngImagePlugin.PngImageFile",
        ),
        ImageFormat(
            "GIF",
            "the first frame",
            "graph",
            (b"GIF87a", b"GIF89a"),
            (".gif",),
            "GifImagePlugin.GifImageFile",
        ),
        ImageFormat(
            "BMP",
            "what the graph cannot read, as palettes, is converted",
            "graph",
            (b"BM",),
            (".bmp", ".dib"),
            "BmpImagePlugin.BmpImageFile",
        ),
        ImageFormat(
            "WebP",
            "the first frame",
            "graph",
            (),  # RIFF, with a size between; see format_of
            (".webp",),
            "WebPImagePlugin.WebPImageFile",
        ),
        ImageFormat(
            "TIFF",
            "the first page; BigTIFF too",
            "conversion",
            (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
            (".tif", ".tiff"),
            "TiffImagePlugin.TiffImageFile",
        ),
        ImageFormat(
            "PBM",
            "plain and raw",
            "conversion",
            (b"P1", b"P4"),
            (".pbm", ".pnm"),
            "PpmImagePlugin.PpmImageFile",
        ),
        ImageFormat(
            "PGM",
            "plain and raw, up to 16 bits",
            "conversion",
            (b"P2", b"P5"),
            (".pgm", ".pnm"),
            "PpmImagePlugin.PpmImageFile",
        ),
        ImageFormat(
            "PPM",
            "plain and raw, up to 16 bits",
            "conversion",
            (b"P3", b"P6"),
            (".ppm", ".pnm"),
            "PpmImagePlugin.PpmImageFile",
        ),
        ImageFormat(
            "TGA",
            "known by its extension",
            "conversion",
            (),
            (".tga", ".icb", ".vda", ".vst"),
            "TgaImagePlugin.TgaImageFile",
        ),
        ImageFormat(
            "AVIF",
            "the first frame, as 8 bits",
            "conversion",
            (),  # a box with brands
            (".avif", ".avifs"),
            "AvifImagePlugin.AvifImageFile",
        ),
        ImageFormat(
            "HEIC",
            "the primary image, as 8 bits; needs the extra `heif`",
            "conversion",
            (),  # a box with brands
            (".heic", ".heif", ".hif"),
            "pi_heif",
        ),
        ImageFormat(
            "JPEG 2000",
            "files and bare codestreams",
            "conversion",
            (b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51"),
            (".jp2", ".j2k", ".jpf", ".jpx", ".j2c"),
            "Jpeg2KImagePlugin.Jpeg2KImageFile",
        ),
        ImageFormat(
            "JPEG XL",
            "convert it to JPEG or PNG, as with `djxl`",
            signatures=(b"\xff\x0a", b"\x00\x00\x00\x0cJXL "),
            extensions=(".jxl",),
        ),
        ImageFormat(
            "PAM",
            "convert it to PNG, as with `pamtopng`",
            signatures=(b"P7",),
            extensions=(".pam",),
        ),
        ImageFormat("PFM", _CONVERT, signatures=(b"PF", b"Pf"), extensions=(".pfm",)),
        ImageFormat(
            "camera raw",
            "develop it to JPEG or PNG",
            signatures=(b"IIU\x00", b"FUJIFILMCCD-RAW", b"IIRO"),
            extensions=(".dng", ".nef", ".arw", ".cr2", ".cr3", ".orf", ".rw2", ".raf", ".pef"),
        ),
        ImageFormat("Photoshop", _CONVERT, signatures=(b"8BPS",)),
        ImageFormat("Windows icon", _CONVERT, signatures=(b"\x00\x00\x01\x00",)),
        ImageFormat("OpenEXR", _CONVERT, signatures=(b"\x76\x2f\x31\x01",)),
        ImageFormat("DDS", _CONVERT, signatures=(b"DDS ",)),
        ImageFormat("QOI", _CONVERT, signatures=(b"qoif",)),
        ImageFormat("SVG", _CONVERT, signatures=(b"<svg",)),
        ImageFormat("PDF", "no image", signatures=(b"%PDF",)),
        ImageFormat("video", "no image"),
    ],
)
"""The formats that are known by name, whether they are read or not."""

IMAGE_EXTENSIONS = {
    extension: tuple(row.name for row in FORMATS.values() if extension in row.extensions)
    for listed in FORMATS.values()
    for extension in listed.extensions
    if listed.name != "camera raw"
}
"""Formats by the lower-case file name extension that promises one of them."""

_NETPBM = ("PBM", "PGM", "PPM", "PAM", "PFM")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"heif")
_AVIF_BRANDS = (b"avif", b"avis")
_TGA_KINDS = (1, 2, 3, 9, 10, 11)
_TGA_DEPTHS = (8, 15, 16, 24, 32)


def format_of(head: bytes, name: str = "") -> str:
    """Returns the format by the first bytes of a file; empty if unknown.

    Args:
        head: The first HEAD_BYTES of the file, or all of it.
        name: Name of the file, for formats that are known by their extension alone: TGA, and
            those of cameras, which begin like a TIFF.

    Example:
        >>> format_of(b"GIF89a and more")
        'GIF'
    """
    extension = PurePosixPath(name).suffix.lower()
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":
        return _format_of_brands(head)
    for row in FORMATS.values():
        if head.startswith(row.signatures or (b"\x00never",)):
            # Text may begin with P1 too; the letters of these formats end at a blank.
            if row.name in _NETPBM and not head[2:3].isspace():
                continue
            if row.name == "TIFF" and (
                extension in FORMATS["camera raw"].extensions or head[8:10] == b"CR"
            ):
                return "camera raw"
            return row.name
    if extension in FORMATS["TGA"].extensions and _may_be_tga(head):
        return "TGA"
    return ""


def _format_of_brands(head: bytes) -> str:
    """Returns the format of a file of the ISO base media format.

    The major brand may be a general one, as mif1; then a compatible brand tells the codec.
    """
    size = int.from_bytes(head[:4], "big")
    listed = head[16 : min(size, len(head))]
    brands = [head[8:12], *(listed[i : i + 4] for i in range(0, len(listed), 4))]
    for brand in brands:
        if brand in _AVIF_BRANDS:
            return "AVIF"
        if brand in _HEIF_BRANDS:
            return "HEIC"
        if brand == b"crx ":
            return "camera raw"
    return "HEIC" if brands[0][:3] in (b"mif", b"msf") else "video"


def _may_be_tga(head: bytes) -> bool:
    """Whether the fields of a TGA header have values that they may have."""
    if len(head) < 18:
        return False
    has_size = any(head[12:14]) and any(head[14:16])
    return head[1] in (0, 1) and head[2] in _TGA_KINDS and head[16] in _TGA_DEPTHS and has_size


def why_no_image(head: bytes, name: str = "") -> str:
    """Returns why a file is no image of a format that is read; nothing if it may be one.

    Args:
        head: The first HEAD_BYTES of the file, or all of it.
        name: Name of the file, as in `format_of`.
    """
    if not head:
        return "empty file"
    kind = format_of(head, name)
    if kind in ("video", "PDF"):
        return f"not an image but a {kind}"
    if kind:
        row = FORMATS[kind]
        return "" if row.reader != "none" else f"{kind} is not supported: {row.summary}"
    if not head.strip(b"\x00"):
        return "not an image (nothing but zeros)"
    shown = head[:16].decode("latin-1").strip()
    return f"not an image (starts with {shown!r})"


def why_not_served(content: bytes, name: str = "") -> str:
    """Returns why an exported model cannot read a file; nothing if it may.

    Args:
        content: The bytes of the file, or the first HEAD_BYTES of them.
        name: Name of the file, as in `format_of`.
    """
    head = content[:HEAD_BYTES]
    if problem := why_no_image(head, name):
        return problem
    kind = format_of(head, name)
    if FORMATS[kind].reader == "graph":
        return ""
    return f"{kind} is not read by an exported model: {_CONVERT}"


def why_failed(kind: str, content: bytes) -> str:
    """Returns why the decoder failed on an image of a format that is read.

    Args:
        kind: The format.
        content: The bytes of the file.
    """
    cut = {
        "JPEG": b"\xff\xd9" not in content[-64:],
        "PNG": b"IEND" not in content[-64:],
        "GIF": not content.endswith(b";"),
        "BMP": int.from_bytes(content[2:6], "little") > len(content),
        "WebP": int.from_bytes(content[4:8], "little") + 8 > len(content),
    }
    return "cut off" if cut.get(kind) else f"damaged {kind}"
