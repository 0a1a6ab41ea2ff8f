"""Nodes of Ray on this machine, in a network of their own that has loopback alone.

Ray listens at the machine's own address whatever it is told, so a test must not start it
beside everything else. `RayNodes` starts this file as a program in a network namespace.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TOKEN = "0123456789abcdef" * 4

_MIB = 2**20


def main() -> None:
    """Starts nodes of one core each, prints the head's address, and then does as told."""
    from ray.cluster_utils import Cluster

    _wait_for_no_agents()
    cluster, ports = Cluster(), itertools.count(20_000)

    def add(**settings: Any) -> None:
        cluster.add_node(
            num_cpus=1,
            object_store_memory=80 * _MIB,
            runtime_env_agent_port=next(ports),
            **settings,
        )

    add(include_dashboard=False)
    for _ in range(int(sys.argv[1]) - 1):
        add()
    _answer(cluster.address)
    for line in sys.stdin:
        if line == "kill\n":
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        else:
            add()
        _answer("done")
    cluster.shutdown()


def _wait_for_no_agents() -> None:
    """Lets a node begin before its agents, which it gives 15 s to start, on any machine."""
    from ray import _raylet
    from ray._private.node import Node

    start = Node.start_raylet
    names = ("METRICS_AGENT", "METRICS_EXPORT", "DASHBOARD_AGENT_LISTEN")

    def start_raylet(node: Any, *args: Any, **kwargs: Any) -> None:
        for name in names:
            file = getattr(_raylet, f"{name}_PORT_NAME")
            # As an agent says that it has no such port.
            _raylet.persist_port(node._session_dir, node._node_id, file, -1)
        start(node, *args, **kwargs)

    Node.start_raylet = start_raylet


def _answer(text: str) -> None:
    sys.__stdout__.write(f"> {text}\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]


class RayNodes:
    """Nodes that run, and the commands that reach them.

    Args:
        process: The program.
        environment: Variables of everything that talks to them.
    """

    def __init__(self, process: subprocess.Popen[str], environment: dict[str, str]) -> None:
        self.process, self.environment = process, environment
        self.address = self._read()

    def command(self, *arguments: str) -> list[str]:
        """Returns a command that runs in their network."""
        network = f"--net=/proc/{self.process.pid}/ns/net"
        return ["nsenter", network, sys.executable, *arguments]

    def kill_node(self) -> None:
        """Kills all processes of a node that is not the head."""
        self._tell("kill")

    def add_node(self) -> None:
        """Adds a node."""
        self._tell("add")

    def _tell(self, order: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()
        assert self._read() == "done"

    def _read(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("> "):
                return line[2:].rstrip()
        raise AssertionError(f"the cluster ended with {self.process.wait()}")


@contextmanager
def start_nodes(count: int, **variables: str) -> Iterator[RayNodes]:
    """Starts nodes with a token, or skips where a network namespace is not allowed.

    Args:
        count: Number of nodes, the head among them.
        **variables: Further variables of their environment.
    """
    pytest.importorskip("ray")
    try:
        subprocess.run(["unshare", "-n", "nsenter", "--version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to make a network namespace")
    # The path of a socket has 107 characters at most.
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    # jsonschema, which Ray imports, else has this one build a grammar: seconds a process.
    Path(folder, "rfc3987_syntax.py").write_text("raise ImportError\n")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([folder, str(ROOT), *sys.path]),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_TMPDIR": folder,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_raylet_start_wait_time_s": "120",
        **variables,
    }
    program = f"ip link set lo up && exec {sys.executable} -m tests.support.ray_nodes {count}"
    process = subprocess.Popen(
        ["unshare", "-n", "bash", "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    try:
        yield RayNodes(process, environment)
    finally:
        process.communicate()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
