"""Convolutions of an ONNX network in 8-bit integers, by ONNX Runtime's own quantization.

Weights have 7 bits: on a processor without VNNI instructions, ONNX Runtime adds pairs of products
of 8 bits in 16, which overflow: EfficientNet-Lite0 so lost 2 of 153 validation images, and none
with 7. Ranges are taken behind an activation, whose zero and limit they then are: the 8 bits hold
nothing that it cuts off. Biases stay in floating point, for OpenVINO, which takes them so; ONNX
Runtime makes integers of them.

Reference: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from zoo.export.layer_ranking import MAX_RANKED_ON, layer_name, rank_groups

_BATCH_SIZE = 8
"""Images that are calibrated on at once."""

_QUANTIZED = ("Conv", "Clip", "Relu")
"""Convolutions, and the activations that are joined to them."""

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
    left_out = [node.name for node in _convolutions(fused) if _layer_of(node) in kept]
    model = _quantize(fused, np.load(images, mmap_mode="r"), left_out)
    halve_weights(model.graph, without=_quantization_parameters(model.graph))
    remove_unread(model.graph)
    compact(model.graph)
    onnx.save(model, folder / "model.onnx")


def rank_layers(source: Path, images: Path) -> list[list[str]]:
    """Ranks groups of layers by what their quantization costs, on up to 32 images.

    Args:
        source: The folder of a model.onnx in single precision.
        images: As of `quantize`.

    Returns:
        As `zoo.export.layer_ranking.rank_groups`.
    """
    import numpy as np

    fused = fuse(source / "model.onnx", images.with_name("fused.onnx"))
    pixels = np.load(images, mmap_mode="r")[:MAX_RANKED_ON]
    nodes = _convolutions(fused)

    def predict(places: Collection[int]) -> list[Any]:
        others = [node.name for place, node in enumerate(nodes) if place not in places]
        return _predict(_quantize(fused, pixels, others) if places else fused, pixels)

    return rank_groups([_layer_of(node) for node in nodes], predict)


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


def _layer_of(node: Any) -> str:
    return layer_name(node.name, *node.input[1:2])


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
            op_types_to_quantize=list(_QUANTIZED),
            nodes_to_exclude=list(left_out),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"QuantizeBias": False},
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
