"""Tasks on a cluster of Ray: what they return, what a lost worker costs, who may send them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from pipelines.runtime.ray_private_api import READ_IN
from tests.support.certificates import write_certificates
from tests.support.ray_nodes import RayNodes, start_nodes

pytestmark = pytest.mark.slow

TASKS = """
import json, os, signal, sys
from pathlib import Path
from pipelines.runtime.cluster import open_cluster
from tests.support import tasks
from zoo.errors import ZooError

before = signal.getsignal(signal.SIGTERM)
with open_cluster(sys.argv[1]) as cluster:
    found = {"slots": cluster.num_slots, "gpus": cluster.num_gpus}
    lost = cluster.submit(tasks.die)
    squares = [cluster.submit(tasks.square, number) for number in range(20)]
    refused = cluster.submit(tasks.refuse, "this")
    found["squares"] = [future.result() for future in squares]
    found["noise"] = cluster.submit(tasks.print_noise).result()
    found["errors"] = [type(lost.exception()).__name__, str(refused.exception())]
    marker = Path(sys.argv[2])
    found["first"] = type(cluster.submit(tasks.die_once, marker).exception()).__name__
    found["elsewhere"] = cluster.submit(tasks.die_once, marker).result() != os.getpid()
    names = ("OMP_NUM_THREADS", "RAY_USAGE_STATS_ENABLED")
    found["variables"] = [cluster.submit(tasks.variable, name).result() for name in names]
    found["handler"] = signal.getsignal(signal.SIGTERM) == before
print(json.dumps(found))
"""

CONNECT = """
import sys
from pipelines.runtime.cluster import open_cluster
from pipelines.runtime.stderr import own_stderr
from tests.support import tasks
from zoo.errors import ZooError

own_stderr()
try:
    with open_cluster(sys.argv[1], insecure=sys.argv[2:] == ["insecure"]) as cluster:
        print(cluster.submit(tasks.square, 7).result())
except ZooError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_status)
"""


def test_private_api_was_read_in_this_version() -> None:
    assert version("ray").split(".")[:2] == READ_IN["ray"].split(".")[:2]


@pytest.fixture(scope="module")
def closed() -> Iterator[RayNodes]:
    """Two nodes that ask for a token."""
    with start_nodes(2) as nodes:
        yield nodes


def _run(
    nodes: RayNodes, script: str, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        nodes.command("-c", script, *arguments),
        env=nodes.environment | variables,
        capture_output=True,
        text=True,
        timeout=500,
    )


def test_tasks_end_as_they_do_elsewhere(closed: RayNodes, tmp_path: Path) -> None:
    ran = _run(closed, TASKS, closed.address, str(tmp_path / "marker"))
    assert ran.returncode == 0, ran.stderr
    # What Ray and the tasks print is not on standard output.
    assert json.loads(ran.stdout) == {
        "slots": 2,
        "gpus": 0,
        "squares": [number**2 for number in range(20)],
        "noise": "result",
        "errors": ["WorkerError", "the value is wrong; expected another; received this"],
        "first": "WorkerError",
        "elsewhere": True,
        "variables": ["1", "0"],
        "handler": True,
    }


@pytest.mark.parametrize(
    ("address", "variables", "status", "said"),
    [
        ("", {"RAY_AUTH_TOKEN": "f" * 64}, 1, "refuses the token; copy that of the cluster's head"),
        ("", {"RAY_AUTH_TOKEN": "", "HOME": "/nowhere"}, 2, "there is no token for the cluster at"),
        ("127.0.0.1:9", {}, 1, "the cluster at 127.0.0.1:9 does not answer"),
    ],
    ids=["wrong token", "no token", "no cluster"],
)
def test_cluster_that_cannot_be_used_is_named(
    address: str, variables: dict[str, str], status: int, said: str, closed: RayNodes
) -> None:
    ran = _run(closed, CONNECT, address or closed.address, **variables)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (status, "", 1), ran.stderr
    assert said in ran.stderr


def test_token_lets_in_by_the_file_that_holds_it(closed: RayNodes, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(closed.environment["RAY_AUTH_TOKEN"])
    by_file = {"RAY_AUTH_TOKEN": "", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_AUTH_MODE": "disabled"}
    ran = _run(closed, CONNECT, "auto", **by_file)
    assert (ran.returncode, ran.stdout) == (0, "49\n"), ran.stderr


def test_open_cluster_is_refused_unless_asked_for() -> None:
    with start_nodes(1, RAY_AUTH_MODE="disabled") as nodes:
        ran = _run(nodes, CONNECT, nodes.address)
        assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
        assert "runs what anybody sends who reaches it; expected one that asks" in ran.stderr
        assert ran.stderr.rstrip().endswith("or add --insecure")
        ran = _run(nodes, CONNECT, nodes.address, "insecure")
        assert (ran.returncode, ran.stdout) == (0, "49\n"), ran.stderr


def test_encrypted_cluster_lets_in_who_has_its_certificates(tmp_path: Path) -> None:
    own, others = (write_certificates(tmp_path / name) for name in ("own", "others"))
    with start_nodes(1, **own) as nodes:
        ran = _run(nodes, CONNECT, "auto")
        assert (ran.returncode, ran.stdout) == (0, "49\n"), ran.stderr
        for variables in (others, {"RAY_USE_TLS": "0"}):
            ran = _run(nodes, CONNECT, nodes.address, **variables)
            assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1), ran.stderr
            assert "does not answer" in ran.stderr
