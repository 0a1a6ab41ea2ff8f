"""Weight rows: address, digest, license and training data of each pretrained file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One pretrained weight file.

    Args:
        name: `architecture.tag`, such as `mobilenet_v2.imagenet`.
        url: The published address, at a pinned revision if the host has revisions; for a
            shipped file its path in `zoo/pretrained/`, which requires a SHA-256.
        file: The file's name in a mirror, in `ZOO_WEIGHTS` and in the cache.
        sha256: 64 hexadecimal digits, or "" if none is published: the first fetch
            records the file's, and later fetches are compared with it.
        md5: 32 hexadecimal digits if the publisher states an MD5 and no SHA-256, else "".
        license: SPDX identifier of the weights' license.
        data: The training data, such as `ImageNet-1k`.
        input_size: Height and width of the training images, in pixels.
        normalization: The pixel normalization of training: a row of NORMALIZATIONS.
        top1: The publisher's accuracy on the validation images of `data`, 0 to 1, or None
            if none is stated.
        origin: The publisher, and the source of the figures.
        max_bytes: Size that no server may exceed: that of the file, or a little more where it
            follows from the number of weights.

    Raises:
        ValueError: A digest or the file name is malformed, or a shipped file has no SHA-256.
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
    max_bytes: int = 2 * 2**30

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
            # The file changes with the package, so the record of a first fetch would be stale.
            raise ValueError(f"{self.name}: a shipped file needs a SHA-256.")

    @property
    def shipped(self) -> bool:
        """Whether the file is part of the package."""
        return not is_url(self.url)

    @property
    def has_top(self) -> bool:
        """Whether the file holds the classification top too, as the archives of this project do."""
        return self.file.endswith(".npz")

    @property
    def summary(self) -> str:
        """One line: training data, accuracy and license."""
        score = f", top-1 {self.top1:.3f}" if self.top1 is not None else ""
        return f"trained on {self.data}{score}, {self.license}"

    @property
    def proof(self) -> str:
        """The digests that verify the file before anything parses it."""
        if self.sha256:
            return "sha256"
        return "md5, then sha256 of first fetch" if self.md5 else "sha256 of first fetch"


def is_url(text: str) -> bool:
    """Returns whether a text is an http or https address."""
    return text.lower().startswith(("http://", "https://"))
