"""Weights: the table row of one pretrained weight file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One weight file: where it is, what proves it, and what it was trained on.

    Args:
        name: `architecture.tag`, such as `mobilenet_v2.imagenet`.
        url: Where the file is published, at a pinned revision where the host has
            revisions; a path relative to `zoo/pretrained/` for a shipped file,
            which must have a SHA-256.
        file: The file's name in a mirror, in `ZOO_WEIGHTS` and in the cache.
        sha256: 64 hexadecimal digits, or "" where nobody published one: then the
            first fetch records it and later ones are held to it.
        md5: What the publisher printed, where that is an MD5 alone; else "".
        license: SPDX identifier of the weights' license.
        data: What the weights were trained on.
        input_size: Height and width they were trained at, in pixels.
        normalization: What they expect of a pixel: a row of NORMALIZATIONS.
        top1: Accuracy on `data`'s validation images as the publisher states it,
            a fraction, or None where none is stated.
        origin: Who published it, and where the figures come from.

    Raises:
        ValueError: A digest or the file name is malformed, or a shipped row has no SHA-256.
    """

    name: str
    url: str
    file: str
    sha256: str = ""
    md5: str = ""
    license: str
    data: str
    input_size: int
    normalization: str
    top1: float | None = None
    origin: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"([0-9a-f]{64})?", self.sha256):
            raise ValueError(
                f"{self.name}: the SHA-256 {self.sha256!r} is not 64 lower-case digits."
            )
        if not re.fullmatch(r"([0-9a-f]{32})?", self.md5):
            raise ValueError(f"{self.name}: the MD5 {self.md5!r} is not 32 lower-case digits.")
        if not self.file or Path(self.file).name != self.file:
            raise ValueError(f"{self.name}: {self.file!r} is not a plain file name.")
        if self.shipped and not self.sha256:
            # It changes with the package, so that no first fetch could speak for it.
            raise ValueError(f"{self.name}: a shipped file needs a SHA-256.")

    @property
    def shipped(self) -> bool:
        """Whether the file lies inside the package."""
        return not is_url(self.url)

    @property
    def summary(self) -> str:
        """One line: trained on what, how well, under which license."""
        score = f", top-1 {self.top1:.3f}" if self.top1 is not None else ""
        return f"trained on {self.data}{score}, {self.license}"

    @property
    def proof(self) -> str:
        """What the file is held to before anything parses it."""
        if self.sha256:
            return "sha256"
        return "md5, then sha256 of first fetch" if self.md5 else "sha256 of first fetch"


def is_url(text: str) -> bool:
    """Returns whether a text is an http or https address."""
    return text.lower().startswith(("http://", "https://"))
