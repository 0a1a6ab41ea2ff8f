"""`zoo serve` as a process of its own, and a client of Python's standard library."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.command_line import ZOO

_GREETING = re.compile(r"is served at http://[^/]+:(\d+)/")


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as a JSON value."""
        return json.loads(self.body)


@dataclass
class ModelServer:
    """A server that listens on loopback.

    Args:
        process: It.
        port: Its port.
        log: The lines that it has written to standard error so far.
        token: What requests bear; none where it is empty.
    """

    process: subprocess.Popen[str]
    port: int
    log: list[str]
    token: str = ""

    def ask(self, method: str, path: str, body: bytes | str | None = None, **headers: str) -> Reply:
        """Sends one request over a connection of its own; `Content_Type` is a header."""
        with contextlib.closing(self.connect()) as connection:
            return self.ask_over(connection, method, path, body, **headers)

    def ask_over(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | str | None = None,
        **headers: str,
    ) -> Reply:
        """Sends one request over a connection that may go on."""
        bearer = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {**bearer, **named})
        response = connection.getresponse()
        return Reply(response.status, dict(response.getheaders()), response.read())

    def connect(self) -> http.client.HTTPConnection:
        """Opens a connection."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal, and returns the exit status."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextlib.contextmanager
def serving(*arguments: object, token: str = "", **environment: str) -> Iterator[ModelServer]:
    """Runs `zoo serve` on a free port until the body ends.

    Args:
        arguments: Those of the command.
        token: What it asks for.
        environment: Further variables.
    """
    variables = {**os.environ, **environment} | ({"ZOO_SERVE_TOKEN": token} if token else {})
    command = [*ZOO, "serve", *map(str, arguments), "--port", "0"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=variables
    )
    log: list[str] = []
    listening = threading.Event()
    reader = threading.Thread(target=_read, args=(process, log, listening))
    reader.start()
    try:
        listening.wait(300)
        found = [match for line in log if (match := _GREETING.search(line))]
        assert found, log
        yield ModelServer(process, int(found[0][1]), log, token)
    finally:
        process.kill()
        process.wait()
        reader.join()


def _read(process: subprocess.Popen[str], log: list[str], listening: threading.Event) -> None:
    assert process.stderr is not None
    with process.stderr as lines:
        for line in lines:
            log.append(line.rstrip("\n"))
            if _GREETING.search(line):
                listening.set()
    listening.set()
