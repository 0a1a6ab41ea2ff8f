"""A weights file, its table row, and the responses of a server that may misbehave."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from zoo.errors import FetchError, WeightsError
from zoo.weights.fetch import fetch
from zoo.weights.row import Weights

GOOD = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Answer:
    """How the server responds to one request."""

    body: bytes = GOOD
    status: int = 200
    cut: int | None = None  # bytes of the body after which the connection closes
    ranges: bool = True
    etag: str = ""
    conditional: bool = True  # whether If-Range is honored
    sized: bool = True
    kind: str = "application/octet-stream"
    gate: threading.Event | None = None  # the body stops after a fifth until this is set
    drip_s: float = 0.0  # pause after each byte of the body
    shift: int = 0  # offset of a partial body from the requested range


@dataclass
class Site:
    """The server's responses, one a request (the last repeats), and the log of requests."""

    url: str
    answers: list[Answer] = field(default_factory=lambda: [Answer()])
    log: list[dict[str, str]] = field(default_factory=list)

    def serve(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.log.clear()

    @property
    def ranges(self) -> list[str]:
        return [request.get("Range", "") for request in self.log]


def row(host: str, **changes: object) -> Weights:
    plain = Weights(
        name="net.set",
        url=f"{host}/v1/net.h5",
        file="net.h5",
        sha256=sha256(GOOD),
        license="Apache-2.0",
        data="a set",
        input_size=224,
        normalization="none",
        origin="a test",
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def unproven(host: str, **changes: object) -> Weights:
    return row(host, sha256="", **changes)


def cached_files(cache: Path) -> set[str]:
    return {p.name for p in cache.rglob("*") if p.is_file()}


def part_of(weights: Weights, site: Site) -> Path:
    """Leaves a partial file behind: every attempt to download it breaks off."""
    site.serve(Answer(cut=100_000, etag='"1"'), Answer(status=404))
    with pytest.raises((FetchError, WeightsError), match=r"HTTP 404|broke off"):
        fetch(weights)
    (part,) = Path(os.environ["ZOO_CACHE"]).rglob("*.part")
    return part


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
