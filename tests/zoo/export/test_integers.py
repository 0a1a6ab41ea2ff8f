"""8-bit integers: as accurate as they have to be, with layers left out where they are not."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import openvino
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from tests.support.chains import (
    NUM_LAYERS,
    add_loader,
    draw_chain,
    layer,
    write_chain,
    write_litert,
)
from zoo.errors import ExportError
from zoo.export.calibration import Calibration, compute_drop
from zoo.export.exported import Exported
from zoo.export.formats import FORMATS
from zoo.export.integers import quantize_network
from zoo.export.portable import export_portable
from zoo.export.runtimes import OPEN
from zoo.export.steps import run_step
from zoo.models.classifier import build_classifier
from zoo.models.decision import LabelRule
from zoo.models.unknown import NeighborScorer
from zoo.preprocessing import Preprocessing
from zoo.tasks import Task, classification

INTEGERS = [
    pytest.param(name, marks=[] if name == "onnx" else pytest.mark.slow)
    for name, row in FORMATS.items()
    if row.integers
]
NAMES = ["ant", "bee", "wasp"]
PREPROCESSING = Preprocessing(size=32)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    files = []
    for number in range(60):
        files.append(folder / f"{number}.png")
        small = rng.integers(0, 256, 3) + rng.integers(-40, 41, (4, 4, 3))
        image = Image.fromarray(small.clip(0, 255).astype(np.uint8))
        image.resize((32, 32)).save(files[-1])
    return files


def build_exported() -> Exported:
    """A network with random weights and a scorer, whose bank is no layer."""
    keras.utils.set_random_seed(3)
    model = build_classifier("micro_resnet_s", 3, size=32)
    bank = np.random.default_rng(1).normal(size=(20, 512)).astype(np.float32)
    width = model.get_layer("logits").input.shape[-1]
    bank = bank[:, :width] / np.linalg.norm(bank[:, :width], axis=1, keepdims=True)
    tasks = classification(NAMES)
    return Exported(model, PREPROCESSING, tasks, NeighborScorer(0.9, bank, 3))


def calibrate(exported: Exported, images: list[Path], max_drop: float) -> Calibration:
    """Calibrates on the images, with the network's own answers as the truth."""
    pixels = np.stack([np.asarray(Image.open(file)) for file in images]).astype(np.float32)
    answers = exported.model.predict(pixels, verbose=0)
    return Calibration(images, {"label": answers.argmax(axis=1)}, max_drop)


def count_integers(name: str, folder: Path) -> tuple[int, int]:
    """Returns how many convolutions a network has, and how many with weights in integers."""
    if name == "onnx":
        graph = onnx.load(folder / "model.onnx").graph
        types = {tensor.name: tensor.data_type for tensor in graph.initializer}
        made = {node.output[0]: node.input[0] for node in graph.node}
        kinds = [types.get(made[n.input[1]]) for n in graph.node if n.op_type == "Conv"]
        return len(kinds), kinds.count(onnx.TensorProto.INT8)
    if name == "openvino":
        nodes = openvino.Core().read_model(folder / "model.xml").get_ordered_ops()
        convolutions = [node for node in nodes if node.get_type_name().endswith("Convolution")]
        return len(convolutions), sum(map(has_integers, convolutions))
    interpreter = Interpreter(str(folder / "model.tflite"))
    details = {each["index"]: each for each in interpreter.get_tensor_details()}
    kernels = [
        details[operation["inputs"][1]]["dtype"]
        for operation in interpreter._get_ops_details()
        if operation["op_name"].endswith("CONV_2D")
    ]
    return len(kernels), kernels.count(np.int8)


def has_integers(node: Any) -> bool:
    """Whether the second input of a node of OpenVINO comes from integers."""
    source = node.input_value(1).get_node()
    while source.get_type_name() != "Constant":
        source = source.input_value(0).get_node()
    return bool(source.data.dtype == np.int8)


@pytest.mark.slow
@pytest.mark.parametrize("name", INTEGERS)
def test_all_layers_are_in_integers_where_that_is_accurate(
    name: str, images: list[Path], pixels: Any, tmp_path: Path
) -> None:
    exported = build_exported()
    calibration = calibrate(exported, images, 10.0)
    version = export_portable(
        exported, FORMATS[name], tmp_path, images=images, quantize="int8", calibration=calibration
    )
    described = json.loads((version / "model.json").read_text())
    assert (described["format"], described["quantize"]) == (name, "int8")
    assert described["float_layers"] == []
    assert count_integers(name, version) == (10, 10)
    # The drop that is stated is that of the file, by its runtime.
    found = OPEN[name](version)(pixels)["probabilities"]
    integer_accuracy = np.mean(found.argmax(axis=1) == calibration.targets["label"])
    stated = described["accuracy"]["label"]
    assert stated["float32"] == 1
    assert stated["int8"] == pytest.approx(integer_accuracy)
    assert stated["drop_points"] == pytest.approx(100 * (1 - integer_accuracy))
    low, high = stated["drop_interval"]
    assert low < stated["drop_points"] < high


@pytest.fixture(scope="module")
def pixels(images: list[Path]) -> Any:
    """The images as they are, which the network takes."""
    return np.stack([np.asarray(Image.open(file)) for file in images])


def quantize_chain(
    name: str,
    outliers: Collection[int],
    max_drop: float,
    images: list[Path],
    pixels: Any,
    folder: Path,
) -> tuple[dict[str, Any], Path]:
    """Quantizes a network with outliers; returns what is said of it, and its folder."""
    row = FORMATS[name]
    assert row.integers
    settings = PREPROCESSING.model_dump(mode="json")
    chain = draw_chain(pixels, outliers)
    source = row.integers.source
    reference = write_chain(chain, source, PREPROCESSING.size, folder / "float32", settings)
    answers = OPEN[source](reference)(pixels)["probabilities"]
    to = folder / "int8"
    to.mkdir()
    add_loader(to, settings)
    measured = quantize_network(
        Exported(None, PREPROCESSING, classification(NAMES)),
        row,
        reference,
        to,
        images,
        {"probabilities": answers},
        Calibration(images, {"label": answers.argmax(axis=1)}, max_drop),
    )
    return measured, to


@pytest.mark.train
@pytest.mark.parametrize("name", INTEGERS)
def test_layers_that_integers_cannot_hold_stay_out(
    name: str, images: list[Path], pixels: Any, tmp_path: Path
) -> None:
    measured, to = quantize_chain(name, [], 5.0, images, pixels, tmp_path / "good")
    assert measured["float_layers"] == []
    assert count_integers(name, to) == (NUM_LAYERS, NUM_LAYERS)
    measured, to = quantize_chain(name, [5], 5.0, images, pixels, tmp_path / "outlier")
    # The layer whose activations have the outlier, and the one that reads them.
    assert {layer(5), layer(6)} <= set(measured["float_layers"])
    assert measured["accuracy"]["label"]["drop_points"] <= 5
    left_out = len(measured["float_layers"])
    assert count_integers(name, to) == (NUM_LAYERS, NUM_LAYERS - left_out)


@pytest.mark.train
def test_network_that_integers_cannot_hold_is_refused_with_its_layers(
    images: list[Path], pixels: Any, tmp_path: Path
) -> None:
    outliers = range(NUM_LAYERS - 1)
    with pytest.raises(ExportError, match=r"first of all layer\d\d, layer\d\d") as caught:
        quantize_chain("onnx", outliers, 1.0, images, pixels, tmp_path / "refused")
    message = str(caught.value)
    assert "expected at most 1 points less; received accuracy 0." in message
    # As the message proposes.
    enough = float(message.rpartition("--max-drop ")[2].split()[0])
    measured, _ = quantize_chain("onnx", outliers, enough, images, pixels, tmp_path / "again")
    assert 1 < measured["accuracy"]["label"]["drop_points"] <= enough


@pytest.mark.train
def test_channel_that_is_switched_off_keeps_its_bias(pixels: Any, tmp_path: Path) -> None:
    # Beside weights of 1e-12 or 0, an integer of 32 bits holds none of these biases.
    biases = np.float32([0.7, -0.7, 0.7, 0.2])
    weights = np.float32([[1e-12, 1e-12, 0, 0.1]] * 3)
    size = PREPROCESSING.size

    def predict(images: Any) -> dict[str, Any]:
        import tensorflow as tf

        value = tf.cast(images, tf.float32) / 255
        value = tf.nn.conv2d(value, weights[np.newaxis, np.newaxis], 1, "SAME") + biases
        return {"features": tf.reduce_mean(value, (1, 2))}

    reference, to = tmp_path / "float32", tmp_path / "int8"
    reference.mkdir()
    to.mkdir()
    write_litert(predict, size, reference)
    np.save(tmp_path / "pixels.npy", pixels)
    job = {"source": str(reference), "images": str(tmp_path / "pixels.npy"), "folder": str(to)}
    run_step("quantize", "litert", {**job, "kept": []}, tmp_path)
    assert count_integers("litert", to) == (1, 1)
    found = OPEN["litert"](to)(pixels)["features"]
    expected = np.mean(pixels / 255, axis=(1, 2)) @ weights + biases
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_hits_of_labels_follow_their_rule() -> None:
    task = Task("marks", "multi_label", class_names=("dot", "line"))
    targets = np.array([[1, 0], [1, 1]], np.float32)
    expected = np.array([[0.9, 0.1], [0.6, 0.7]], np.float32)
    found = np.array([[0.9, 0.1], [0.45, 0.7]], np.float32)
    drop = compute_drop(task, targets, expected, found)
    assert (drop.accuracy, drop.integer_accuracy, drop.points) == (1.0, 0.5, 50.0)
    rule = LabelRule((0.4, 0.5))
    assert compute_drop(task, targets, expected, found, rule).points == 0


def test_interval_is_that_of_agresti_and_min() -> None:
    # Their formula, written out for 80 images of which 7 were lost and 2 gained.
    first = np.array([0] * 73 + [0] * 7, np.int64)
    expected = np.zeros((80, 2), np.float32)
    expected[:, 0] = 1
    found = expected.copy()
    found[-7:] = found[-7:, ::-1]
    expected[:2] = expected[:2, ::-1]
    task = Task("label", "single_label", class_names=("a", "b"))
    drop = compute_drop(task, first, expected, found)
    assert drop.points == pytest.approx(100 * 5 / 80)
    a, b, n = 7.5, 2.5, 82
    deviation = np.sqrt((a + b) - (a - b) ** 2 / n) / n
    bounds = [100 * ((a - b) / n + sign * 1.96 * deviation) for sign in (-1, 1)]
    assert drop.interval == pytest.approx(bounds)
