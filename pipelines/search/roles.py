"""Role of a process in a search on several machines, from KerasTuner's variables."""

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
    """A process's role in a search on several machines.

    Args:
        name: The process's name.
        address: The chief's address.
    """

    name: str
    address: Address

    @property
    def is_chief(self) -> bool:
        """Whether it hands out trials instead of training them: its name contains `chief`."""
        return "chief" in self.name


def role(environment: Mapping[str, str] = os.environ) -> Role | None:
    """Returns this process's role; None where KerasTuner's variables are not set.

    Args:
        environment: The variables.

    Raises:
        InputError: A variable is missing, or the port is not a number.
    """
    names = (TUNER_ID, ORACLE_IP, ORACLE_PORT)
    found = {name: environment[name] for name in names if environment.get(name)}
    # KerasTuner decides by this variable alone, too.
    if ORACLE_IP not in found:
        return None
    if missing := [name for name in names if name not in found]:
        raise InputError(
            f"{ORACLE_IP} is set, and {' and '.join(missing)} is not",
            expected="all of " + ", ".join(names),
            mend=f"set them, or unset {ORACLE_IP} to search in this process alone",
        )
    port = found[ORACLE_PORT]
    if not port.isdecimal() or not 0 < int(port) < 2**16:
        raise InputError(f"{ORACLE_PORT} is not a port", expected="1 to 65535", received=repr(port))
    return Role(found[TUNER_ID], Address(found[ORACLE_IP], int(port)))
