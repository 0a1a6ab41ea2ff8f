"""Limits of a server: how much a request may hold, how long it may take, how many may wait."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.sources.config import MAX_PIXELS
from pipelines.sources.examining.formats import FORMATS, HEAD_BYTES, format_of
from pipelines.sources.examining.image_header import UnreadableError, read_header
from zoo.errors import InputError


@dataclass(frozen=True)
class Limits:
    """What a server takes on.

    Args:
        max_batch: Images that the network computes at once, at most. On two cores of a
            CPU, batches of 32 cost more an image than batches of 4 or 8.
        max_delay_ms: Milliseconds that an image waits for others to join its batch.
        max_body_mb: Megabytes (2**20 bytes) of a request's body.
        max_pixels: Pixels of an image, by its header, before it is decoded.
        max_images: Images of one request.
        max_waiting: Images that are decoded, wait or are computed; more are told to come again.
        timeout_s: Seconds that a request may take to arrive, and as many to be answered.
    """

    max_batch: int = 8
    max_delay_ms: float = 5.0
    max_body_mb: int = 32
    max_pixels: int = 2**26
    max_images: int = 64
    max_waiting: int = 256
    timeout_s: float = 30.0

    def check(self) -> None:
        """Checks that every limit lets something through.

        Raises:
            InputError: One does not.
        """
        for name, value in vars(self).items():
            least, most = (0, 1000) if name == "max_delay_ms" else (1, MAX_PIXELS)
            if not least <= value <= most:
                raise InputError(
                    f"the limit {name} is out of range",
                    expected=f"{least} to {most}",
                    received=str(value),
                )

    @property
    def max_body_bytes(self) -> int:
        """The largest body, in bytes."""
        return self.max_body_mb * 2**20

    def find_problem(self, name: str, content: bytes) -> str:
        """Returns why an image is too large to be decoded; empty if it is not, or is none.

        Args:
            name: The file's name, which tells some formats.
            content: Its bytes.
        """
        kind = format_of(content[:HEAD_BYTES], name)
        if not kind or FORMATS[kind].reader == "none":
            return ""
        try:
            header = read_header(kind, content)
        except UnreadableError:
            return ""
        if header.num_pixels <= self.max_pixels:
            return ""
        size = f"{header.width}x{header.height} pixels"
        return f"{size} are more than the {self.max_pixels} that this server decodes"
