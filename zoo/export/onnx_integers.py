"""Convolutions of an ONNX network in 8-bit integers, by ONNX Runtime's own quantization.

Weights have 7 bits: on a processor without VNNI instructions, ONNX Runtime adds pairs of products
of 8 bits in 16, which overflow: EfficientNet-Lite0 so lost 3 of 153 validation images, and none
with 7.

Reference: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

_BATCH_SIZE = 8
"""Images that are calibrated on at once."""

_MAX_GROUPS = 16
"""Groups of layers whose effect is measured, at most; each takes a quantization."""

_MAX_RANKED_ON = 32
"""Images that it is measured on, at most."""

_LAYER = re.compile(r"/([^/]+?)(?:_\d+)?/(?:convolution|depthwise)")
"""A layer of Keras in the name of a node or of its weights."""

_QUANTIZING = ("QuantizeLinear", "DequantizeLinear")


def quantize(source: Path, folder: Path, images: Path, kept: Sequence[str]) -> None:
    """Writes model.onnx with convolutions in 8-bit integers, and other weights in half precision.

    Args:
        source: The folder of a model.onnx in single precision.
        folder: The folder to write into.
        images: Images to calibrate the ranges of activations on, a .npy file, uint8 [N, S, S, 3].
        kept: Layers that are not quantized, some of those that `rank_layers` names.
    """
    import numpy as np
    import onnx

    from zoo.export.onnx_compaction import compact
    from zoo.export.onnx_format import halve_weights, remove_unread

    fused = fuse(source / "model.onnx", images.with_name("fused.onnx"))
    left_out = [node.name for node in _convolutions(fused) if layer_name(node) in kept]
    model = _quantize(fused, np.load(images, mmap_mode="r"), left_out)
    halve_weights(model.graph, without=_quantization_parameters(model.graph))
    remove_unread(model.graph)
    compact(model.graph)
    onnx.save(model, folder / "model.onnx")


def rank_layers(source: Path, images: Path) -> list[list[str]]:
    """Groups neighboring layers, and ranks the groups by what their quantization costs.

    With one group quantized at a time, the mean difference of the outputs from those in single
    precision is measured on up to 32 images. A layer whose activations 8 bits cannot hold thus
    ranks high beside the layer that reads them; with all others quantized, neither would gain.

    Args:
        source: The folder of a model.onnx in single precision.
        images: As of `quantize`.

    Returns:
        The names of the layers of each group, up to 16 groups; the one that costs most first.
    """
    import numpy as np

    fused = fuse(source / "model.onnx", images.with_name("fused.onnx"))
    pixels = np.load(images, mmap_mode="r")[:_MAX_RANKED_ON]
    expected = _predict(fused, pixels)
    nodes = _convolutions(fused)
    size = -(-len(nodes) // _MAX_GROUPS)
    differences = []
    for start in range(0, len(nodes), size):
        group = nodes[start : start + size]
        others = [node.name for node in nodes if node not in group]
        found = _predict(_quantize(fused, pixels, others), pixels)
        apart = np.mean([np.abs(a - b).mean() for a, b in zip(found, expected, strict=True)])
        differences.append((float(apart), start, [layer_name(node) for node in group]))
    return [names for _, _, names in sorted(differences, key=lambda each: (-each[0], each[1]))]


def fuse(file: Path, to: Path) -> Any:
    """Fuses batch normalization into convolutions, which are then quantized as one.

    Args:
        file: A network in single precision.
        to: A file to write meanwhile.

    Returns:
        An `onnx.ModelProto` whose convolutions have names of their own.
    """
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(to)
    onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    model = onnx.load(to)
    for index, node in enumerate(_convolutions(model)):
        node.name = node.name or f"convolution_{index}"
    # ONNX Runtime names all domains that it knows, some of which other runtimes do not.
    used = {node.domain for node in model.graph.node}
    domains = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(domains)
    return model


def layer_name(node: Any) -> str:
    """Returns the name of the Keras layer that a convolution was; else its own name.

    Args:
        node: An `onnx.NodeProto`.
    """
    for text in (node.name, *node.input[1:2]):
        if found := _LAYER.search(text):
            return found[1]
    return str(node.name)


def _convolutions(model: Any) -> list[Any]:
    """Returns the convolutions with constant weights, in the order of the network."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [
        node for node in model.graph.node if node.op_type == "Conv" and node.input[1] in constants
    ]


def _quantize(model: Any, pixels: Any, left_out: Sequence[str]) -> Any:
    """Returns a copy of a network with all convolutions but some in integers."""
    import tempfile

    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    batches = iter(
        {"images": pixels[start : start + _BATCH_SIZE]}
        for start in range(0, len(pixels), _BATCH_SIZE)
    )

    class Reader(CalibrationDataReader):
        def get_next(self) -> Any:
            return next(batches, None)

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    with tempfile.TemporaryDirectory() as folder:
        quantize_static(
            copy,
            str(Path(folder, "quantized.onnx")),
            Reader(),
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=list(left_out),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(Path(folder, "quantized.onnx"))


def _quantization_parameters(graph: Any) -> Collection[str]:
    """Returns the names of scales and zero points, which are no weights."""
    nodes = [node for node in graph.node if node.op_type in _QUANTIZING]
    return {name for node in nodes for name in node.input[1:]}


def _predict(model: Any, pixels: Any) -> list[Any]:
    """Returns a network's outputs that are numbers."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [each.name for each in session.get_outputs() if each.type == "tensor(float)"]
    batches: Iterator[Any] = (
        session.run(names, {"images": np.ascontiguousarray(pixels[start : start + _BATCH_SIZE])})
        for start in range(0, len(pixels), _BATCH_SIZE)
    )
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]
