"""Weights: the row of one pretrained weight file, and how that file is had."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One weight file: where it is, what proves it, and what it was trained on.

    Args:
        name: `architecture.tag`, such as `mobilenet_v2.imagenet`.
        url: Where the file is published, at a pinned revision where the host has
            revisions; a path relative to `zoo/pretrained/` for a shipped file.
        file: The file's name in a mirror, in `ZOO_WEIGHTS` and in the cache.
        sha256: 64 hexadecimal digits, or "" where nobody published one: then the
            first fetch records it and later ones are held to it.
        md5: What the publisher printed, where that is an MD5 alone; else "".
        licence: SPDX identifier of the weights' licence.
        data: What the weights were trained on.
        input_size: Height and width they were trained at, in pixels.
        normalisation: What they expect of a pixel: a row of NORMALISATIONS.
        top1: Accuracy on `data`'s validation images as the publisher states it,
            a fraction, or None where none is stated.
        origin: Who published it, and where the figures come from.
    """

    name: str
    url: str
    file: str
    sha256: str = ""
    md5: str = ""
    licence: str
    data: str
    input_size: int
    normalisation: str
    top1: float | None = None
    origin: str

    @property
    def summary(self) -> str:
        """One line: trained on what, how well, under which licence."""
        score = f", top-1 {self.top1:.3f}" if self.top1 is not None else ""
        return f"trained on {self.data}{score}, {self.licence}"

    @property
    def proof(self) -> str:
        """What the file is held to before anything parses it."""
        if self.sha256:
            return "sha256"
        return "md5, then sha256 of first fetch" if self.md5 else "sha256 of first fetch"
