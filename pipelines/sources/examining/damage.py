"""Damage of image files that a decoder shows all the same, found once and named.

| file | TensorFlow | Pillow | here |
|---|---|---|---|
| JPEG with damaged pixels | decodes; libjpeg warns each time | decodes | hides a part |
| JPEG cut off | fails | fails | hides a part |
| JPEG without its last bytes | fails | fails | kept |
| PNG without its end | fails | decodes | kept |
| PNG with a wrong checksum of its pixels | fails | decodes, if they unpack | hides a part |
| PNG with a damaged comment | decodes; warns each time | fails | kept |
| PNG, BMP or WebP cut off; GIF within its first frame | fails | fails | does not decode |
| GIF cut off after its first frame | decodes; warns each time | decodes | kept |
| WebP or BMP with other bytes in its middle | decodes | decodes | cannot be known: no checksum |
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

LACKS_END = "its last bytes are missing"
"""The damage of a file that has all or nearly all of its pixels."""


@dataclass(frozen=True)
class Damage:
    """What is wrong with a file that a decoder shows all the same.

    Args:
        text: In a few words.
        partial: Whether a part of the image may be hidden: gray, shifted or of wrong colors.
    """

    text: str
    partial: bool


def find_png_damage(content: bytes) -> Damage | None:
    """Finds damage of a PNG by the checksums of its parts, which are all read.

    Args:
        content: The bytes of the file.
    """
    damaged: list[str] = []
    for kind, start, end in png_chunks(content):
        name = kind.decode("latin-1")
        if end > len(content):
            return Damage("cut off", partial=True)
        (checksum,) = struct.unpack(">I", content[end - 4 : end])
        if zlib.crc32(content[start + 4 : end - 4]) != checksum:
            if name[0].isupper():
                return Damage(f"damaged PNG: wrong checksum of {name}", partial=True)
            damaged.append(name)
        if kind == b"IEND":
            break
    else:
        return Damage(LACKS_END, partial=False)
    return Damage(f"damaged {', '.join(damaged)} in its PNG", partial=False) if damaged else None


def without_damaged_chunks(png: bytes) -> bytes:
    """Returns a PNG without what is damaged and not needed for its pixels, as comments."""
    parts = [png[:8]]
    for kind, start, end in png_chunks(png):
        is_needed = kind[:1].isupper()
        checksum = zlib.crc32(png[start + 4 : end - 4])
        if is_needed or checksum == int.from_bytes(png[end - 4 : end], "big"):
            parts.append(png[start:end])
    return b"".join(parts)


def png_chunks(png: bytes) -> list[tuple[bytes, int, int]]:
    """Returns name, start and end of each chunk; the last may reach beyond the file."""
    chunks, position = [], 8
    while position + 8 <= len(png):
        end = position + 12 + int.from_bytes(png[position : position + 4], "big")
        chunks.append((png[position + 4 : position + 8], position, end))
        position = end
    return chunks


def find_gif_damage(content: bytes) -> Damage | None:
    """Finds whether a GIF ends before its trailer; its first frame may be whole all the same.

    Args:
        content: The bytes of the file.
    """
    position = 13 + _palette_bytes(content[10:11])
    while position < len(content):
        lead = content[position]
        if lead == 0x3B:
            return None
        if lead == 0x21:
            position = _skip_blocks(content, position + 2)
        elif lead == 0x2C:
            position = _skip_blocks(
                content, position + 11 + _palette_bytes(content[position + 9 : position + 10])
            )
        else:
            return Damage("damaged GIF after its first frame", partial=False)
    return Damage(LACKS_END, partial=False)


def _palette_bytes(flags: bytes) -> int:
    return 6 << (flags[0] & 7) if flags and flags[0] & 0x80 else 0


def _skip_blocks(content: bytes, position: int) -> int:
    while position < len(content) and content[position]:
        position += 1 + content[position]
    return position + 1
