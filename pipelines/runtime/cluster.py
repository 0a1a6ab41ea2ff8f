"""Cluster: where the tasks of a job run, as `--cluster` names it."""

from __future__ import annotations

import logging
import re

from pipelines.runtime.devices import count_gpus, num_cores
from pipelines.runtime.executor import RENEWED_AFTER, Executor, InThisProcess
from pipelines.runtime.processes import Processes
from pipelines.runtime.ray_cluster import RayCluster
from zoo.errors import InputError

_LOCAL = re.compile(r"local(:0*([1-9]\d{0,3}))?")
_ADDRESS = re.compile(r"auto|(?!local:)[\w.-]+:\d{1,5}|\[[0-9a-fA-F:.]+\]:\d{1,5}")


def check_cluster(cluster: str | None) -> None:
    """Checks the name of a cluster; connects to nothing.

    Args:
        cluster: As `open_cluster` takes it.

    Raises:
        InputError: It names none.
    """
    if cluster is None or _LOCAL.fullmatch(cluster) or _ADDRESS.fullmatch(cluster):
        return
    raise InputError(
        "--cluster names no cluster",
        expected="local, local:N, auto, or HOST:PORT of a cluster that this machine is part of",
        received=cluster,
    )


def open_cluster(
    cluster: str | None, *, insecure: bool = False, renewed_after: int = RENEWED_AFTER
) -> Executor:
    """Returns what runs the tasks of a job; a context manager.

    Args:
        cluster: None for this process; `local` for a process of this machine for each core,
            `local:N` for N; for a cluster of Ray `auto` on one of its machines, or HOST:PORT.
        insecure: Whether a cluster without authentication is used.
        renewed_after: Tasks of a process, ≥ 1, before another takes its place.

    Raises:
        ClusterError: The cluster cannot be reached, or refuses.
        InputError: The name is none, Ray is not installed, or the cluster asks for no token.
    """
    check_cluster(cluster)
    if cluster is None:
        return InThisProcess()
    if local := _LOCAL.fullmatch(cluster):
        return Processes(int(local[2] or num_cores()), logging.WARNING, renewed_after)
    return RayCluster(cluster, insecure=insecure, renewed_after=renewed_after)


def check_gpus(executor: Executor) -> None:
    """Checks that tasks may use TensorFlow where an executor runs them; starts it to find out.

    Args:
        executor: What runs them.

    Raises:
        InputError: Processes of this machine would share its GPUs.
    """
    if isinstance(executor, Processes) and count_gpus():
        raise InputError(
            "processes of this machine would share its GPUs, whose memory each takes as a whole",
            expected="a cluster that gives a GPU to one task at a time",
            received="--cluster local",
            mend="start one here, `ray start --head`, and use --cluster auto",
        )
