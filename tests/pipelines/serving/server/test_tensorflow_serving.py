"""TensorFlow Serving's REST API, compared with the exported model as TensorFlow runs it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines.serving.server.tensorflow_serving import parse_instances
from tests.support.model_server import ModelServer, Reply
from zoo.errors import InputError


def encode(file: Path) -> dict[str, str]:
    return {"b64": base64.b64encode(file.read_bytes()).decode()}


def post(server: ModelServer, verb: str, request: Any) -> Reply:
    return server.ask("POST", f"/v1/models/{verb}", json.dumps(request))


def name_of(server: ModelServer) -> str:
    return str(server.ask("GET", "/model").json["name"])


@pytest.fixture(scope="module")
def signatures(exported: Path) -> Any:
    loaded = tf.saved_model.load(str(exported / "1"))
    yield loaded.signatures
    del loaded


@pytest.mark.parametrize("form", ["bare", "named", "columns", "unnamed columns"])
def test_files_are_answered_as_the_exported_model_does(
    form: str, server: ModelServer, signatures: Any, images: list[Path]
) -> None:
    chosen = images[::5]
    contents = [file.read_bytes() for file in chosen]
    expected = signatures["serving_bytes"](image_bytes=tf.constant([*contents, b"Dear diary"]))
    files = [*map(encode, chosen), {"b64": base64.b64encode(b"Dear diary").decode()}]
    request: dict[str, Any] = {
        "bare": {"instances": files, "signature_name": "serving_bytes"},
        "named": {"instances": [{"image_bytes": file} for file in files]},
        "columns": {"inputs": {"image_bytes": files}},
        "unnamed columns": {"inputs": files},
    }[form]
    reply = post(server, f"{name_of(server)}:predict", request)
    assert reply.status == 200
    if "columns" in form:
        found = reply.json["outputs"]
    else:
        rows = reply.json["predictions"]
        assert all("error" not in row for row in rows[:-1])
        assert rows[-1]["error"].startswith("not an image")
        found = {name: [row.get(name, "") for row in rows] for name in rows[-1]}
    assert set(found) == {*expected, "error"}
    assert found["valid"] == expected["valid"].numpy().tolist()
    for name in ("probabilities", "top_scores"):
        values = np.array(found[name], np.float32)  # null becomes NaN
        np.testing.assert_allclose(values, expected[name].numpy(), atol=1e-5)
    labels = [[label.decode() for label in row] for row in expected["top_labels"].numpy()]
    assert found["top_labels"] == labels


def test_pixels_are_answered_as_the_exported_model_does(
    server: ModelServer, signatures: Any, images: list[Path]
) -> None:
    with Image.open(images[0]) as image:
        pixels = np.asarray(image.convert("RGB"))
    expected = signatures["serving_default"](images=tf.constant(pixels[np.newaxis]))
    name = name_of(server)
    for instance in (pixels.tolist(), {"images": pixels.tolist()}):
        reply = post(server, f"{name}/versions/1:predict", {"instances": [instance]})
        (row,) = reply.json["predictions"]
        assert set(row) == set(expected)
        found = np.array(row["probabilities"], np.float32)
        np.testing.assert_allclose(found, expected["probabilities"].numpy()[0], atol=1e-5)


def test_classify_pairs_classes_with_scores(server: ModelServer, images: list[Path]) -> None:
    files = [{"image_bytes": encode(images[0])}, {"image_bytes": {"b64": "AAAA"}}]
    name = name_of(server)
    found, broken = post(server, f"{name}:classify", {"examples": files}).json["results"]
    (row, _) = post(server, f"{name}:predict", {"instances": files}).json["predictions"]
    assert found == [list(pair) for pair in zip(row["top_labels"], row["top_scores"], strict=True)]
    assert broken == []


def test_status_and_metadata_say_what_is_served(server: ModelServer, signatures: Any) -> None:
    name = name_of(server)
    for path in (name, f"{name}/versions/1"):
        (status,) = server.ask("GET", f"/v1/models/{path}").json["model_version_status"]
        assert (status["version"], status["state"]) == ("1", "AVAILABLE")
    described = server.ask("GET", f"/v1/models/{name}/metadata").json
    assert described["model_spec"] == {"name": name, "version": "1"}
    found = described["metadata"]["signature_def"]["signature_def"]
    for signature in ("serving_bytes", "serving_default"):
        tensors = {
            "inputs": signatures[signature].structured_input_signature[1],
            "outputs": signatures[signature].structured_outputs,
        }
        for kind, specs in tensors.items():
            shapes = {key: spec.shape.as_list() for key, spec in specs.items()}
            stated = found[signature][kind]
            assert {key: len(stated[key]["tensor_shape"]["dim"]) for key in stated} == {
                key: len(shape) for key, shape in shapes.items()
            }
            types = {key: tf.as_dtype(spec.dtype).as_datatype_enum for key, spec in specs.items()}
            numbers = {"DT_FLOAT": 1, "DT_STRING": 7, "DT_BOOL": 10, "DT_UINT8": 4}
            assert {key: numbers[stated[key]["dtype"]] for key in stated} == types


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("other", 404),
        ("other:predict", 404),
        ("{name}/versions/7", 404),
        ("{name}/versions/7:predict", 404),
        ("{name}/versions/x/metadata", 404),
    ],
)
def test_what_is_not_served_is_said(path: str, status: int, server: ModelServer) -> None:
    method = "POST" if path.endswith("predict") else "GET"
    reply = server.ask(method, f"/v1/models/{path.format(name=name_of(server))}", b"{}")
    assert reply.status == status
    assert "expected" in reply.json["error"]


MALFORMED = {
    "no JSON": (b"{", "no JSON"),
    "deep": (b"[" * 100_000, "no JSON"),
    "a list": (b"[]", "not clear"),
    "nothing": (b"{}", "not clear"),
    "two": (b'{"instances": [], "inputs": []}', "instances and inputs"),
    "empty": (b'{"instances": []}', "no image"),
    "a number": (b'{"instances": [1]}', "received int"),
    "a text": (b'{"instances": ["abc"]}', "received str"),
    "another key": (b'{"instances": [{"jpeg": "AAAA"}]}', "received dict"),
    "another input": (b'{"inputs": {"jpeg": []}}', "received jpeg"),
    "no base64": (b'{"instances": [{"b64": "*"}]}', "no base64"),
    "mixed": (b'{"instances": [{"b64": "AAAA"}, [[[1, 2, 3]]]]}', "mixes files and pixels"),
    "ragged": (b'{"instances": [[[[1, 2, 3]], [[1, 2]]]]}', "several lengths"),
    "fractions": (b'{"instances": [[[[0.5, 2, 3]]]]}', "whole numbers"),
    "too bright": (b'{"instances": [[[[256, 2, 3]]]]}', "0 to 255"),
    "endless": (b'{"instances": [[[[1e400, 2, 3]]]]}', "2 to inf"),
    "gray": (b'{"instances": [[[[1], [2]]]]}', r"[1, 2, 1]"),
    "texts": (b'{"instances": [[[["a", "b", "c"]]]]}', "<U1 [1, 1, 3]"),
    "another signature": (
        b'{"instances": [{"b64": "AAAA"}], "signature_name": "decode"}',
        "expected serving_bytes; received decode",
    ),
    "pixels as files": (
        b'{"instances": [[[[1, 2, 3]]]], "signature_name": "serving_bytes"}',
        "expected serving_default",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_request_is_refused_in_words(case: str) -> None:
    body, said = MALFORMED[case]
    with pytest.raises(InputError) as caught:
        parse_instances(body)
    assert said in str(caught.value)


def test_malformed_request_is_status_400(server: ModelServer) -> None:
    reply = post(server, f"{name_of(server)}:predict", {"instances": [1]})
    assert reply.status == 400
    assert set(reply.json) == {"error"}
