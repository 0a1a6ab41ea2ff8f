"""Formats of image files by their first bytes, and why a file is no image of one that is read."""

from __future__ import annotations

HEAD_BYTES = 32
"""Number of first bytes that tell the format."""

DECODABLE = ("JPEG", "PNG", "GIF", "BMP", "WebP")
"""Formats that the graph's decoder reads."""

_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"8BPS", "Photoshop"),
    (b"\x00\x00\x01\x00", "Windows icon"),
    (b"%PDF", "PDF"),
    (b"<svg", "SVG"),
)


def format_of(head: bytes) -> str:
    """Returns the format by the first bytes of a file; empty if unknown.

    Example:
        >>> format_of(b"GIF89a and more")
        'GIF'
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand in (b"avif", b"avis"):
            return "AVIF"
        return "HEIC" if brand[:2] in (b"he", b"mi", b"ms") else "video"
    return next((name for signature, name in _SIGNATURES if head.startswith(signature)), "")


def find_format_problem(content: bytes) -> str:
    """Returns why a file is no image of a supported format, without decoding it; or nothing.

    Args:
        content: The bytes of the file.
    """
    kind = format_of(content[:HEAD_BYTES])
    if kind not in DECODABLE:
        return why_no_image(content[:HEAD_BYTES])
    if kind == "JPEG" and b"\xff\xd9" not in content:
        # The decoder would fail too, and libjpeg would write to standard error.
        return "cut off"
    if kind == "BMP" and _has_palette(content):
        return "BMP with a palette is not supported: convert it to PNG"
    return ""


def why_no_image(head: bytes) -> str:
    """Returns why a file is no image of a supported format."""
    if not head:
        return "empty file"
    if not head.strip(b"\x00"):
        return "not an image (nothing but zeros)"
    kind = format_of(head)
    if kind in ("video", "PDF"):
        return f"not an image but a {kind}"
    if kind:
        return f"{kind} is not supported: convert it to JPEG or PNG"
    shown = head[:16].decode("latin-1").strip()
    return f"not an image (starts with {shown!r})"


def why_failed(kind: str, content: bytes) -> str:
    """Returns why the decoder failed on an image of a supported format."""
    cut = {
        "JPEG": b"\xff\xd9" not in content[-64:],
        "PNG": b"IEND" not in content[-64:],
        "GIF": not content.endswith(b";"),
        "BMP": int.from_bytes(content[2:6], "little") > len(content),
        "WebP": int.from_bytes(content[4:8], "little") + 8 > len(content),
    }
    if cut[kind]:
        return "cut off"
    bits = int.from_bytes(content[28:30], "little")
    if kind == "BMP" and bits not in (8, 24, 32):
        return f"BMP of {bits} bits a pixel is not supported: convert it to PNG"
    return f"damaged {kind}"


def _has_palette(bmp: bytes) -> bool:
    """Whether a BMP has a color palette, which TensorFlow would ignore and read gray."""
    if int.from_bytes(bmp[28:30], "little") != 8:
        return False
    start = 14 + int.from_bytes(bmp[14:18], "little")
    palette = bmp[start : int.from_bytes(bmp[10:14], "little")]
    return any(palette[4 * i : 4 * i + 3] != bytes([i] * 3) for i in range(len(palette) // 4))
