"""Object storage on this machine: moto's S3 behind a real HTTP server, which may fail."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pytest

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass
class ObjectStorage:
    """A server of S3.

    Args:
        endpoint: Its URL.
        fail_every: Every so many requests end with status 500; 0 for none.
        failed: How many did.
        requests: How many came.
    """

    endpoint: str = ""
    fail_every: int = 0
    failed: int = 0
    requests: int = 0

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which a process finds the server."""
        return ENVIRONMENT | {"AWS_ENDPOINT_URL": self.endpoint}

    def put_folder(self, folder: Path, address: str) -> None:
        """Copies a folder to `s3://bucket/…`, without a failure."""
        failing, self.fail_every = self.fail_every, 0
        fs = fsspec.filesystem("s3")
        fs.makedirs(address.removeprefix("s3://").partition("/")[0], exist_ok=True)
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                name = f"{address}/{file.relative_to(folder).as_posix()}"
                fs.pipe_file(name, file.read_bytes())
        self.fail_every = failing

    def fail_some(self, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """Returns a WSGI application that fails now and then instead of doing its work."""
        count, lock = itertools.count(1), threading.Lock()

        def answer(environment: Any, start_response: Any) -> Iterable[bytes]:
            with lock:
                self.requests += 1
                if self.fail_every and next(count) % self.fail_every == 0:
                    self.failed += 1
                    environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
                    start_response("500 Internal Server Error", [("Content-Length", "0")])
                    return []
            return app(environment, start_response)

        return answer


@contextmanager
def serve_objects(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStorage]:
    """Serves empty object storage, which this process and its children find.

    Args:
        monkeypatch: Sets the variables.
    """
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    storage = ObjectStorage()
    app = storage.fail_some(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    storage.endpoint = f"http://127.0.0.1:{server.server_port}"
    for name, value in storage.environment.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").clear_instance_cache()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield storage
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        fsspec.filesystem("s3").clear_instance_cache()
