"""The plain API: its answers are those of `zoo predict`, alone and under load."""

from __future__ import annotations

import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.serving.run import Run
from tests.support.model_server import ModelServer

NUM_CONNECTIONS = 8


def resized(file: Path, side: int, kind: str) -> bytes:
    encoded = io.BytesIO()
    with Image.open(file) as image:
        image.resize((side, side + 7)).save(encoded, kind)
    return encoded.getvalue()


def as_json(prediction: Any) -> Any:
    """A prediction as a client reads it."""
    return json.loads(json.dumps(prediction.to_json()))


def assert_same(found: Any, expected: Any) -> None:
    """Compares two predictions; a batch rounds otherwise than an image alone."""
    assert found["classes"] == expected["classes"]
    assert found["error"] == expected["error"] == ""
    np.testing.assert_allclose(found["probabilities"], expected["probabilities"], atol=1e-5)


def test_image_in_the_body_is_answered_as_predict_does(
    server: ModelServer, tiny_run: Run, images: list[Path]
) -> None:
    for file in images[::7]:
        content = file.read_bytes()
        reply = server.ask("POST", "/predict?top=2", content)
        assert reply.status == 200
        (found,) = reply.json["predictions"]
        (expected,) = tiny_run.predict(content, top=2)
        assert_same(found, as_json(expected))
        assert found["image"] == expected.image


def test_files_of_a_form_are_answered_each(server: ModelServer, images: list[Path]) -> None:
    files = {"a.jpg": images[0].read_bytes(), "b.txt": b"Dear diary", "c.jpg": b""}
    parts = [
        b'--cut\r\nContent-Disposition: form-data; name="image"; filename="%s"\r\n\r\n%s\r\n'
        % (name.encode(), content)
        for name, content in files.items()
    ]
    body = b"".join([*parts, b"--cut--\r\n"])
    reply = server.ask("POST", "/predict", body, Content_Type="multipart/form-data; boundary=cut")
    assert reply.status == 200
    found = {row["image"]: row["error"] for row in reply.json["predictions"]}
    assert list(found) == list(files)
    assert found["a.jpg"] == ""
    assert found["b.txt"].startswith("not an image")
    assert found["c.jpg"] == "empty file"


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/predict", b"Dear diary", 422, "not an image"),
        ("/predict", b"", 422, "empty file"),
        ("/predict?top=0", b"", 400, "received 0"),
        ("/predict?top=many", b"", 400, "received many"),
        ("/explain", b"", 400, "expected ?class=NAME"),
        ("/explain?class=pink", b"", 400, "no class pink"),
        ("/explain?class=red&task=size", b"", 400, "expected label"),
        ("/explain?class=red", b"Dear diary", 422, "not an image"),
        ("/nowhere", b"", 404, "/nowhere"),
        ("/model", b"", 405, "POST"),
    ],
)
def test_what_cannot_be_answered_is_said_in_a_line(
    path: str, body: bytes, status: int, said: str, server: ModelServer
) -> None:
    reply = server.ask("POST", path, body)
    assert reply.status == status
    assert set(reply.json) == {"error"}
    assert said in reply.json["error"]
    assert "\n" not in reply.json["error"]


def test_form_that_is_none_is_refused(server: ModelServer) -> None:
    for body in (b"--cut--\r\n", b"no form at all"):
        reply = server.ask(
            "POST", "/predict", body, Content_Type="multipart/form-data; boundary=cut"
        )
        assert reply.status == 400
        assert reply.json["error"]


def test_load_with_broken_files_is_answered_as_predict_does(
    server: ModelServer, tiny_run: Run, images: list[Path]
) -> None:
    kinds = ("JPEG", "PNG", "BMP", "WebP", "TIFF")
    contents = [resized(file, 24 + 5 * n, kinds[n % 5]) for n, file in enumerate(images)]
    contents += [content[: len(content) // 2] for content in contents[::6]]
    contents += [b"Dear diary", b"\x00" * 50]
    expected = tiny_run.predict(contents)
    assert any(one.error for one in expected)
    assert sum(not one.error for one in expected) >= len(images)
    order = [*np.random.default_rng(0).permutation(len(contents))] * 3
    batched = threading.Barrier(NUM_CONNECTIONS)

    def ask_some(first: int) -> int:
        batched.wait()
        with closing(server.connect()) as connection:
            places = order[first::NUM_CONNECTIONS]
            for place in places:
                reply = server.ask_over(connection, "POST", "/predict", contents[place])
                if expected[place].error:
                    assert reply.status == 422
                    assert reply.json["error"] == f"images[0]: {expected[place].error}"
                else:
                    (found,) = reply.json["predictions"]
                    assert_same(found, as_json(expected[place]))
        return len(places)

    with ThreadPoolExecutor(NUM_CONNECTIONS) as clients:
        assert sum(clients.map(ask_some, range(NUM_CONNECTIONS))) == len(order)


def test_explanation_is_a_map_over_what_the_network_sees(
    server: ModelServer, images: list[Path]
) -> None:
    assert images[0].parent.name == "blue"
    with Image.open(images[0]) as image:
        width, height = image.size
    found = server.ask("POST", "/explain?class=blue", images[0].read_bytes()).json
    values = np.array(found["map"])
    assert values.ndim == 2
    assert values.min() >= 0
    assert values.max() == 1
    side, box = min(width, height), found["box"]
    assert box["width"] * width == pytest.approx(side)
    assert box["height"] * height == pytest.approx(side)
    assert box["left"] == pytest.approx((width - side) / 2 / width)


def test_metrics_are_read_by_the_client_of_prometheus(
    server: ModelServer, images: list[Path]
) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    def read() -> dict[str, float]:
        text = server.ask("GET", "/metrics").body.decode()
        return {
            f"{sample.name}{sorted(sample.labels.items())}": sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    before = read()
    server.ask("POST", "/predict", images[0].read_bytes())
    server.ask("POST", "/predict", b"Dear diary")
    after = read()

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert grown("zoo_requests_total[('route', 'predict'), ('status', '200')]") == 1
    assert grown("zoo_requests_total[('route', 'predict'), ('status', '422')]") == 1
    assert grown("zoo_images_total[('outcome', 'predicted')]") == 1
    assert grown("zoo_images_total[('outcome', 'broken')]") == 1
    assert grown("zoo_batch_images_count[]") == 1
    assert after["zoo_waiting_images[]"] == 0
    assert after["zoo_model_version[]"] == 1
