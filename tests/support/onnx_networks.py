"""Small ONNX networks made by hand, which TensorFlow has no part in."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from zoo.export import load_image
from zoo.files import write_json

NUM_LAYERS = 12
_WIDTH = 16
_OUTLIER = 1e4


def layer(number: int) -> str:
    """The name of a convolution."""
    return f"layer{number:02d}"


def build_chain(pixels: Any, outliers: Collection[int] = ()) -> Any:
    """Builds a chain of convolutions with a ReLU each, which tells three classes apart.

    Args:
        pixels: Images, uint8 [N, S, S, 3]; about a third of them is of each class.
        outliers: Layers of which one channel is scaled up, and down again by the next layer: the
            predictions stay the same, and 8 bits hold no other channel.

    Returns:
        An `onnx.ModelProto` from `images` to `probabilities`.
    """
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["planes", "scale"], ["relu"]),
    ]
    values = {"scale": np.float32(1 / 255)}
    value, kernels = np.float64(pixels.transpose(0, 3, 1, 2) / 255), []
    for _ in range(NUM_LAYERS):
        inputs = value.shape[1]
        kernels.append(rng.normal(0, np.sqrt(2 / inputs), (_WIDTH, inputs)))
        # The channel that may be scaled is not 0 behind its ReLU.
        kernels[-1][0] = np.abs(kernels[-1][0])
        value = np.maximum(np.einsum("oi,nihw->nohw", kernels[-1], value), 0)
    features = value.mean(axis=(2, 3))
    features = features - features.mean(axis=0)
    # The classes lie one after the other along the direction of most variance.
    axis = np.linalg.svd(features, full_matrices=False)[2][0]
    last = np.outer(axis / (features @ axis).std(), [-2, 0, 2])
    for number in outliers:
        kernels[number][0] *= _OUTLIER
        kernels[number + 1][:, 0] /= _OUTLIER
    source = "relu"
    for number, kernel in enumerate(kernels):
        name = f"/net/{layer(number)}/convolution"
        values[f"{name}/weights"] = np.float32(kernel[:, :, np.newaxis, np.newaxis])
        nodes.append(helper.make_node("Conv", [source, f"{name}/weights"], [name], name=name))
        source = f"{name}/relu"
        nodes.append(helper.make_node("Relu", [name], [source]))
    values["last"] = np.float32(last)
    values["bias"] = np.float32(-value.mean(axis=(0, 2, 3)) @ last + [0, 1, 0])
    nodes += [
        helper.make_node("GlobalAveragePool", [source], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("Gemm", ["features", "last", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    size = pixels.shape[1]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", size, size, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def write_version(model: Any, folder: Path, settings: dict[str, Any]) -> Path:
    """Writes a network with what the proof of an export reads beside it.

    Args:
        model: An `onnx.ModelProto`.
        folder: A folder to make.
        settings: Of preprocessing.
    """
    folder.mkdir()
    onnx.save(model, folder / "model.onnx")
    write_json(folder / "model.json", {"format": "onnx", "preprocessing": settings})
    shutil.copyfile(str(load_image.__file__), folder / "load_image.py")
    return folder
