"""Small chains of convolutions made by hand, as networks of ONNX and of LiteRT."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from zoo.export import load_image
from zoo.export.steps import run_step
from zoo.files import write_json

NUM_LAYERS = 12
_WIDTH = 16
_OUTLIER = 1e4


def layer(number: int) -> str:
    """The name of a convolution."""
    return f"layer{number:02d}"


@dataclass(frozen=True)
class Chain:
    """Convolutions of 1 × 1 with a ReLU each, whose mean a linear layer reads.

    Args:
        kernels: Their weights, each [outputs, inputs].
        last: The weights of the linear layer, [inputs, 3].
        bias: Its bias, [3].
    """

    kernels: list[Any]
    last: Any
    bias: Any


def draw_chain(pixels: Any, outliers: Collection[int] = ()) -> Chain:
    """Draws a chain that tells three classes apart.

    Args:
        pixels: Images, uint8 [N, S, S, 3]; about a third of them is of each class.
        outliers: Layers of which one channel is scaled up, and down again by the next layer: the
            predictions stay the same, and 8 bits hold no other channel.
    """
    rng = np.random.default_rng(0)
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
    bias = -value.mean(axis=(0, 2, 3)) @ last + [0, 1, 0]
    for number in outliers:
        kernels[number][0] *= _OUTLIER
        kernels[number + 1][:, 0] /= _OUTLIER
    return Chain([np.float32(kernel) for kernel in kernels], np.float32(last), np.float32(bias))


def write_chain(chain: Chain, name: str, size: int, folder: Path, settings: dict[str, Any]) -> Path:
    """Writes a chain with what the proof of an export reads beside it.

    Args:
        chain: The chain.
        name: `onnx` or `litert`.
        size: Height and width of its images.
        folder: A folder to make.
        settings: Of preprocessing.
    """
    folder.mkdir(parents=True)
    if name == "onnx":
        onnx.save(_build_onnx(chain, size), folder / "model.onnx")
    else:
        write_litert(lambda images: {"probabilities": _predict(chain, images)}, size, folder)
    add_loader(folder, settings)
    return folder


def add_loader(folder: Path, settings: dict[str, Any]) -> None:
    """Writes the loader of images and its settings beside a network."""
    write_json(folder / "model.json", {"preprocessing": settings})
    shutil.copyfile(str(load_image.__file__), folder / "load_image.py")


def write_litert(predict: Callable[[Any], dict[str, Any]], size: int, folder: Path) -> None:
    """Writes a function of images as model.tflite.

    Args:
        predict: From a tensor, uint8 [B, S, S, 3], to outputs by name.
        size: S.
        folder: The folder to write into; another beside it is for the graph.
    """
    import tensorflow as tf

    images = tf.TensorSpec((None, size, size, 3), tf.uint8, name="images")
    function = tf.function(predict, input_signature=[images], autograph=False)
    graph = folder.with_name("graph")
    tf.saved_model.save(tf.Module(), str(graph), signatures={"serving_default": function})
    job = {"graph": str(graph), "folder": str(folder), "quantize": "none"}
    run_step("convert", "litert", job, graph)


def _predict(chain: Chain, images: Any) -> Any:
    """Returns the probabilities of a chain, as operations of TensorFlow."""
    import tensorflow as tf

    value = tf.cast(images, tf.float32) / 255
    for number, kernel in enumerate(chain.kernels):
        with tf.name_scope(f"net/{layer(number)}/"):
            filters = tf.constant(kernel.T[np.newaxis, np.newaxis])
            value = tf.nn.relu(tf.nn.conv2d(value, filters, 1, "SAME", name="convolution"))
    return tf.nn.softmax(tf.reduce_mean(value, (1, 2)) @ chain.last + chain.bias)


def _build_onnx(chain: Chain, size: int) -> Any:
    """Returns an `onnx.ModelProto` from `images` to `probabilities`."""
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["planes", "scale"], ["relu"]),
    ]
    values = {"scale": np.float32(1 / 255), "last": chain.last, "bias": chain.bias}
    source = "relu"
    for number, kernel in enumerate(chain.kernels):
        name = f"/net/{layer(number)}/convolution"
        values[f"{name}/weights"] = kernel[:, :, np.newaxis, np.newaxis]
        nodes.append(helper.make_node("Conv", [source, f"{name}/weights"], [name], name=name))
        source = f"{name}/relu"
        nodes.append(helper.make_node("Relu", [name], [source]))
    nodes += [
        helper.make_node("GlobalAveragePool", [source], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("Gemm", ["features", "last", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", size, size, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
