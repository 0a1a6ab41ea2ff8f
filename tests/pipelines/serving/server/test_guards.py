"""Guards of a server: token, host names, and limits of size, pixels, time and number."""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from pipelines.serving.server.access import OPEN_PATHS
from tests.support.model_server import ModelServer, Reply


def encode(width: int, height: int) -> bytes:
    encoded = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(encoded, "PNG")
    return encoded.getvalue()


@pytest.mark.parametrize("sent", ["", "Bearer", "Bearer wrong", "Basic 0123456789abcdef", "ü"])
def test_without_the_token_nothing_is_told(sent: str, guarded: ModelServer) -> None:
    stranger = ModelServer(guarded.process, guarded.port, guarded.log)
    headers = {"Authorization": sent} if sent else {}
    for method, path in (("GET", "/model"), ("GET", "/metrics"), ("POST", "/predict")):
        reply = stranger.ask(method, path, None, **headers)
        assert reply.status == 401
        assert reply.headers["www-authenticate"] == "Bearer"
        assert "token" in reply.json["error"]
    for path in OPEN_PATHS:
        assert stranger.ask("GET", path, None, **headers).status == 200
    assert guarded.ask("GET", "/model").status == 200


def test_host_and_origin_of_elsewhere_are_refused(server: ModelServer) -> None:
    own = f"127.0.0.1:{server.port}"
    for host in (
        "rebound.example",
        f"rebound.example:{server.port}",
        "[",
        "localhost.evil.example",
    ):
        reply = server.ask("GET", "/model", Host=host)
        assert (reply.status, "this server is not" in reply.json["error"]) == (403, True)
    for host in ("localhost", f"LOCALHOST:{server.port}", own):
        assert server.ask("GET", "/model", Host=host).status == 200
    for origin in ("http://elsewhere.example", "null", "http://127.0.0.1:1"):
        assert server.ask("POST", "/predict", b"", Origin=origin).status == 403
    assert server.ask("GET", "/model", Origin=f"http://{own}").status == 200


def test_every_answer_binds_the_browser(server: ModelServer) -> None:
    for method, path in (("GET", "/"), ("GET", "/nowhere"), ("POST", "/predict")):
        headers = server.ask(method, path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; ")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("num_bytes", [2**20 + 1, 2**21 + 1])
def test_large_body_is_refused(num_bytes: int, guarded: ModelServer) -> None:
    # The first is read and dropped; of the second the header is enough.
    with closing(guarded.connect()) as connection:
        connection.putrequest("POST", "/predict")
        connection.putheader("Authorization", f"Bearer {guarded.token}")
        connection.putheader("Content-Length", str(num_bytes))
        connection.endheaders()
        if num_bytes < 2**21:
            connection.send(bytes(num_bytes))
        response = connection.getresponse()
        assert response.status == 413
        assert "expected at most 1 MB" in json.loads(response.read())["error"]


def test_large_body_without_a_length_is_refused(guarded: ModelServer) -> None:
    with closing(guarded.connect()) as connection:
        headers = {"Authorization": f"Bearer {guarded.token}"}
        pieces = (bytes(2**16) for _ in range(17))
        connection.request("POST", "/predict", pieces, headers, encode_chunked=True)
        assert connection.getresponse().status == 413


def test_image_of_many_pixels_is_refused_by_its_header(guarded: ModelServer) -> None:
    assert guarded.ask("POST", "/predict", encode(200, 100)).status == 200
    whole = encode(201, 100)
    # Nothing of the pixels is there: the header alone decides.
    reply = guarded.ask("POST", "/predict", whole[:60])
    assert reply.status == 422
    assert "201x100 pixels are more than the 20000" in reply.json["error"]


def test_slow_body_is_ended_and_holds_nobody_up(guarded: ModelServer, images: list[Path]) -> None:
    head = (
        f"POST /predict HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {guarded.token}\r\n"
        "Content-Length: 1000\r\n\r\nslow"
    )
    slow = [socket.create_connection(("127.0.0.1", guarded.port), 60) for _ in range(8)]
    for client in slow:
        client.sendall(head.encode())
    # More slow clients than images may wait, and images are predicted all the same.
    assert guarded.ask("POST", "/predict", images[0].read_bytes()).status == 200
    for client in slow:
        with closing(client), client.makefile("rb") as answer:
            text = answer.read().decode()
        assert text.startswith("HTTP/1.1 408 ")
        assert "received 4 bytes" in text


@pytest.mark.parametrize("sent", [b"", b"POST /predict HTTP/1.1\r\nHost: local"])
def test_connection_over_which_no_request_comes_is_closed(
    sent: bytes, guarded: ModelServer
) -> None:
    # Before the 20 seconds that others may take: this server gives a request three to arrive.
    with socket.create_connection(("127.0.0.1", guarded.port), 15) as client:
        client.sendall(sent)
        assert client.recv(100) == b""


def test_client_that_leaves_is_no_matter_of_the_log(server: ModelServer) -> None:
    said = list(server.log)
    with socket.create_connection(("127.0.0.1", server.port), 60) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
    with socket.create_connection(("127.0.0.1", server.port), 60) as client:
        client.sendall(b"\x16\x03\x01 no HTTP at all\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")
    assert server.ask("GET", "/healthz").status == 200
    assert server.log == said


def test_too_many_images_are_told_to_come_again(guarded: ModelServer, images: list[Path]) -> None:
    file = {"b64": base64.b64encode(images[0].read_bytes()).decode()}
    replies: list[Reply] = []

    def send_four() -> None:
        body = json.dumps({"instances": [file] * 4})
        replies.append(guarded.ask("POST", "/v1/models/colors:predict", body))

    refused = None
    while refused is None:
        client = threading.Thread(target=send_four)
        client.start()
        while client.is_alive() and refused is None:
            if b"zoo_waiting_images 4.0" in guarded.ask("GET", "/metrics").body:
                reply = guarded.ask("POST", "/predict", images[0].read_bytes())
                refused = reply if reply.status == 503 else None
        client.join()
    assert refused.headers["retry-after"] == "1"
    assert "4 images are waiting" in refused.json["error"]
    assert all(len(reply.json["predictions"]) == 4 for reply in replies)
    # It came again.
    assert guarded.ask("POST", "/predict", images[0].read_bytes()).status == 200


def test_request_of_many_images_is_refused(server: ModelServer) -> None:
    name = server.ask("GET", "/model").json["name"]
    body = json.dumps({"instances": [{"b64": "AAAA"}] * 65})
    reply = server.ask("POST", f"/v1/models/{name}:predict", body)
    assert reply.status == 413
    assert "may hold 64 images; received 65" in reply.json["error"]
