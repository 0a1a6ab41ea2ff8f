"""Roles: what KerasTuner's variables say a process is in a search on several machines."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from tuning.distributed.protocol import Address
from zoo.errors import InputError

TUNER_ID, ORACLE_IP, ORACLE_PORT = (
    f"KERASTUNER_{name}" for name in ("TUNER_ID", "ORACLE_IP", "ORACLE_PORT")
)


class Role(NamedTuple):
    """What a process is in a search on several machines.

    Args:
        name: What it calls itself.
        address: Where the chief listens.
    """

    name: str
    address: Address

    @property
    def is_chief(self) -> bool:
        """Whether it gives trials instead of computing them, which its name says."""
        return "chief" in self.name


def role(environment: Mapping[str, str] = os.environ) -> Role | None:
    """Returns what KerasTuner's variables say this process is; None if they are not set.

    Args:
        environment: Where to look.

    Raises:
        InputError: One of them is missing or no port.
    """
    names = (TUNER_ID, ORACLE_IP, ORACLE_PORT)
    found = {name: environment[name] for name in names if environment.get(name)}
    # KerasTuner, too, goes by this one alone.
    if ORACLE_IP not in found:
        return None
    if missing := [name for name in names if name not in found]:
        raise InputError(
            f"{ORACLE_IP} is set and {' and '.join(missing)} not",
            expected="all of " + ", ".join(names),
            mend=f"set them, or unset {ORACLE_IP} to search in this process alone",
        )
    port = found[ORACLE_PORT]
    if not port.isdecimal() or not 0 < int(port) < 2**16:
        raise InputError(f"{ORACLE_PORT} is no port", expected="1 to 65535", received=repr(port))
    return Role(found[TUNER_ID], Address(found[ORACLE_IP], int(port)))
