"""A local HTTP server as publisher and mirror, and a separate cache for each test."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.weights_server import Answer, Site


@pytest.fixture
def site() -> Iterator[Site]:
    turn, closing = threading.Lock(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with turn:
                here.log.append({"path": self.path, **self.headers})
                answer = here.answers.pop(0) if len(here.answers) > 1 else here.answers[0]
            with contextlib.suppress(ConnectionError):  # of clients that are killed
                self.give(answer)

        def give(self, answer: Answer) -> None:
            status, start = answer.status, 0
            if answer.ranges and "Range" in self.headers and status == 200:
                asked = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
                wanted = self.headers.get("If-Range", answer.etag)
                if wanted == answer.etag or not answer.conditional:
                    status, start = 206, asked + answer.shift
            if start >= len(answer.body):
                status = 416
            self.send_response(status)
            body = answer.body[start:] if status in (200, 206) else b""
            if status == 206:
                last = len(answer.body) - 1
                self.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
            if answer.sized:
                self.send_header("Content-Length", str(len(body)))
            if answer.etag:
                self.send_header("ETag", answer.etag)
            self.send_header("Content-Type", answer.kind)
            self.end_headers()
            body = body[: answer.cut]
            for byte in body if answer.drip_s else b"":
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                if closing.wait(answer.drip_s):
                    return
            if answer.drip_s:
                return
            fifth = len(body) // 5
            self.wfile.write(body[:fifth])
            if answer.gate:
                answer.gate.wait(30)
            self.wfile.write(body[fifth:])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        here = Site(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield here
        closing.set()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("ZOO_WEIGHTS", raising=False)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    # Attempts as many as ever, only closer together.
    monkeypatch.setattr("zoo.weights.download.BACK_OFF_S", (0.01, 0.01, 0.01))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "by hand").mkdir()
    monkeypatch.setenv("ZOO_WEIGHTS", str(tmp_path / "by hand"))
    return tmp_path / "by hand"
