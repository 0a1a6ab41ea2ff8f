"""8-bit integers: as accurate as they have to be, with layers left out where they are not."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from tests.support.onnx_networks import NUM_LAYERS, build_chain, layer, write_version
from zoo.errors import ExportError
from zoo.export.calibration import Calibration, compute_drop
from zoo.export.exported import Exported
from zoo.export.formats import FORMATS
from zoo.export.integers import quantize_network
from zoo.export.portable import export_portable
from zoo.models.classifier import build_classifier
from zoo.models.decision import LabelRule
from zoo.models.unknown import NeighborScorer
from zoo.preprocessing import Preprocessing
from zoo.tasks import Task, classification

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


def weights_of(graph: Any) -> list[np.dtype[Any]]:
    """The types of the convolutions' weights, by what is dequantized into them."""
    types = {tensor.name: onnx.numpy_helper.to_array(tensor).dtype for tensor in graph.initializer}
    made = {node.output[0]: node.input[0] for node in graph.node}
    return [types[made[node.input[1]]] for node in graph.node if node.op_type == "Conv"]


@pytest.mark.slow
def test_all_layers_are_in_integers_where_that_is_accurate(
    images: list[Path], tmp_path: Path
) -> None:
    exported = build_exported()
    calibration = calibrate(exported, images, 10.0)
    version = export_portable(
        exported, FORMATS["onnx"], tmp_path, images=images, quantize="int8", calibration=calibration
    )
    described = json.loads((version / "model.json").read_text())
    assert described["float_layers"] == []
    graph = onnx.load(version / "model.onnx").graph
    assert weights_of(graph) == [np.dtype(np.int8)] * 10
    # The drop that is stated is that of the file, by ONNX Runtime.
    session = onnxruntime.InferenceSession(version / "model.onnx")
    pixels = np.stack([np.asarray(Image.open(file)) for file in images])
    (found,) = session.run(["probabilities"], {"images": pixels})
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
    outliers: Collection[int], max_drop: float, images: list[Path], pixels: Any, folder: Path
) -> tuple[dict[str, Any], Any]:
    """Quantizes a network with outliers; returns what is said of it, and its graph."""
    settings = PREPROCESSING.model_dump(mode="json")
    network = build_chain(pixels, outliers)
    reference = write_version(network, folder / "float32", settings)
    to = write_version(network, folder / "int8", settings)
    (answers,) = onnxruntime.InferenceSession(network.SerializeToString()).run(
        ["probabilities"], {"images": pixels}
    )
    exported = Exported(None, PREPROCESSING, classification(NAMES))
    measured = quantize_network(
        exported,
        FORMATS["onnx"],
        reference,
        to,
        images,
        {"probabilities": answers},
        Calibration(images, {"label": answers.argmax(axis=1)}, max_drop),
    )
    return measured, onnx.load(to / "model.onnx").graph


@pytest.mark.train
def test_layers_that_integers_cannot_hold_stay_out(
    images: list[Path], pixels: Any, tmp_path: Path
) -> None:
    measured, graph = quantize_chain([], 5.0, images, pixels, tmp_path)
    assert measured["float_layers"] == []
    assert weights_of(graph) == [np.dtype(np.int8)] * NUM_LAYERS
    (tmp_path / "outlier").mkdir()
    measured, graph = quantize_chain([5], 5.0, images, pixels, tmp_path / "outlier")
    # The layer whose activations have the outlier, and the one that reads them.
    assert {layer(5), layer(6)} <= set(measured["float_layers"])
    assert measured["accuracy"]["label"]["drop_points"] <= 5
    assert weights_of(graph).count(np.dtype(np.int8)) == NUM_LAYERS - len(measured["float_layers"])


@pytest.mark.train
def test_network_that_integers_cannot_hold_is_refused_with_its_layers(
    images: list[Path], pixels: Any, tmp_path: Path
) -> None:
    outliers = range(NUM_LAYERS - 1)
    with pytest.raises(ExportError, match=r"first of all layer\d\d, layer\d\d") as caught:
        quantize_chain(outliers, 1.0, images, pixels, tmp_path)
    message = str(caught.value)
    assert "expected at most 1 points less; received accuracy 0." in message
    # As the message proposes.
    enough = float(message.rpartition("--max-drop ")[2].split()[0])
    (tmp_path / "again").mkdir()
    measured, _ = quantize_chain(outliers, enough, images, pixels, tmp_path / "again")
    assert 1 < measured["accuracy"]["label"]["drop_points"] <= enough


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
