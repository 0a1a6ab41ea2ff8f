"""Private API of Ray, all of it in this file, read in the version of `READ_IN`.

`tests/pipelines/runtime/test_ray_cluster.py` fails when another minor version is installed,
or when something here no longer does what it says.
"""

from __future__ import annotations

import importlib
import logging
import os
from typing import Any

READ_IN = {"ray": "2.60.0"}
"""The version of each distribution that this file was written for."""

logger = logging.getLogger(__name__)


def find_head(address: str) -> str | None:
    """Returns HOST:PORT of a cluster's head; None where no cluster is found.

    Args:
        address: HOST:PORT, or `auto` for RAY_ADDRESS or the cluster last started here.
    """
    services: Any = importlib.import_module("ray._private.services")
    found: str | None = services.canonicalize_bootstrap_address(address)
    return found


def send_token() -> None:
    """Has this process send its token to the cluster, and the processes that it starts.

    Ray reads RAY_AUTH_MODE when it is imported, which the caller may have done long ago.
    """
    os.environ["RAY_AUTH_MODE"] = "token"
    raylet: Any = importlib.import_module("ray._raylet")
    raylet.Config.initialize("")


def keep_stdout_clean() -> None:
    """Has Ray log what it reports to a driver, such as lost workers, at DEBUG.

    It prints that to standard output, whatever `log_to_driver` says; a command's results
    are there.
    """

    def log(data: dict[str, Any], ignore_prefix: bool) -> None:
        for line in data["lines"]:
            logger.debug("%s", line)

    worker: Any = importlib.import_module("ray._private.worker")
    worker.print_to_stdstream = log
