"""Protocol: what a chief and its workers say to each other.

JSON over gRPC, which KerasTuner is built on as well. Its own messages are not used: they
lose the text of a failure and values that are lists, carry one trial at a time, and know
neither a sign of life nor what a worker computes on.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

SERVICE = "zoo.Search"

METHODS = ("join", "ask", "tell", "renew", "leave")
"""Each takes a JSON object and answers one."""

LEASE_S = 30.0
"""Seconds without a sign of life after which a worker is given up.

Far longer than tracing a graph holds Python's lock; a killed process on the chief's own
machine is noticed at once, by its exit.
"""

SIGNS_PER_LEASE = 6
"""So many signs of life a worker gives in the time of a lease."""

GONE_S = 10.0
"""Seconds after which a worker that cannot reach the chief gives it up."""

MAX_MESSAGE_BYTES = 256 * 2**20
"""Size of a message, at most: what each validation image scored in many trials takes some MiB."""


class Address(NamedTuple):
    """Where a chief listens.

    Args:
        host: A name or number of a machine; an IPv6 number without brackets.
        port: 0 takes any that is free.
    """

    host: str = "127.0.0.1"
    port: int = 0

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def pack(message: Any) -> bytes:
    """Returns a message as UTF-8 JSON; NaN stays NaN, as Python reads it back."""
    return json.dumps(message).encode()


def unpack(packed: bytes) -> Any:
    """Returns what `pack` packed."""
    return json.loads(packed)
