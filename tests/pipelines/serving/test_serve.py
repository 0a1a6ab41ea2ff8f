"""`zoo serve`: what it refuses before it serves, what its messages propose, and how it ends."""

from __future__ import annotations

import re
import signal
import socket
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

import transfer_zoo as tz
from pipelines.cli.main import run_command
from pipelines.serving.run import Run
from pipelines.serving.serve import serve
from pipelines.serving.server.limits import Limits
from tests.support.command_line import fails
from tests.support.model_server import Reply, serving
from zoo.errors import InputError

pytestmark = pytest.mark.train


def test_port_that_is_taken_is_said(tiny_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = fails(capsys, ["serve", str(tiny_run.path), "--port", str(port)])
    assert f"cannot listen on 127.0.0.1, port {port}" in said
    assert "--port 0" in said


def test_address_that_others_reach_needs_a_token(
    tiny_run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ZOO_SERVE_TOKEN", raising=False)
    command = ["serve", str(tiny_run.path), "--port", "0", "--host", "0.0.0.0"]
    said = fails(capsys, command)
    assert "set ZOO_SERVE_TOKEN to one" in said
    for token in ("short", "blank in a line\n of it", "ü" * 16):
        assert "the token can be guessed" in fails(capsys, [*command, "--token", token])


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "a" * 70])
def test_host_that_is_not_here_is_refused(
    host: str, tiny_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    said = fails(capsys, ["serve", str(tiny_run.path), "--host", host, "--port", "0"])
    assert f"cannot listen on {host}" in said


def test_model_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = fails(capsys, ["serve", str(tmp_path / "gone"), "--port", "0"])
    assert "is not a model" in said


def test_trust_and_verify_exclude_each_other(
    tiny_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["serve", str(tiny_run.path), "--port", "0", "--verify", "key.pub"]
    assert "omit --trust" in fails(capsys, [*command, "--trust"])
    assert "omit --verify" in fails(capsys, command)


@pytest.mark.parametrize(
    "option", ["--max-batch", "--max-body-mb", "--max-pixels", "--max-waiting", "--timeout-s"]
)
def test_limit_that_lets_nothing_through_is_refused(
    option: str, tiny_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    said = fails(capsys, ["serve", str(tiny_run.path), "--port", "0", option, "0"])
    assert option.removeprefix("--").replace("-", "_") in said
    assert "received 0" in said


def test_options_have_the_defaults_of_the_limits(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["serve", "--help"]) == 0
    said = re.sub(r"\s+", " ", capsys.readouterr().out)
    for name, value in vars(Limits()).items():
        if name != "max_images":
            option = f"--{name.replace('_', '-')}"
            assert re.search(rf"{option} .*?\[default: {value}\]", said), option


def test_extra_that_is_absent_is_named(
    tiny_run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    said = fails(capsys, ["serve", str(tiny_run.path)])
    assert said.endswith("pip install 'transfer-zoo[serve]'")


def test_python_has_the_verb() -> None:
    assert tz.serve is serve
    with pytest.raises(InputError, match="max_batch is out of range"):
        tz.serve("anything", limits=Limits(max_batch=0))


@pytest.mark.parametrize(
    ("host", "token", "number"),
    [("127.0.0.1", "", signal.SIGINT), ("0.0.0.0", "0123456789abcdef", signal.SIGTERM)],
)
def test_server_as_proposed_serves_and_answers_what_is_in_flight_before_its_end(
    host: str, token: str, number: signal.Signals, tiny_run: Run, tiny_folder: Path
) -> None:
    content = next(tiny_folder.rglob("*.jpg")).read_bytes()
    replies: list[Reply] = []
    # On port 0; an image waits a second for others, in which the signal comes.
    options = ["--host", host, "--max-delay-ms", 1000]
    with serving(tiny_run.path, *options, token=token) as server:
        assert server.ask("GET", "/healthz").status == 200
        if token:
            assert server.ask("GET", "/model", Host="a.name.of.this.machine").status == 200
            assert replace(server, token="").ask("GET", "/model").status == 401
        client = threading.Thread(
            target=lambda: replies.append(server.ask("POST", "/predict", content))
        )
        client.start()
        while b"zoo_waiting_images 1.0" not in server.ask("GET", "/metrics").body:
            assert client.is_alive()
        assert server.end(number) == 0
        client.join()
        assert [reply.status for reply in replies] == [200]
    assert server.log[-1] == "the server has ended; every request was answered"
