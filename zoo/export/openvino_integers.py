"""An OpenVINO network in 8-bit integers, converted from the ONNX network in integers.

OpenVINO's converter unpacks weights in half precision, and does not pack them again where it saves
a network with integers: they are packed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from zoo.export import onnx_integers


def quantize(source: Path, folder: Path, images: Path, kept: Sequence[str]) -> None:
    """Writes model.xml and model.bin; see `zoo.export.onnx_integers.quantize`.

    Args:
        source: The folder of a model.onnx in single precision.
        folder: The folder to write into.
        images: Images to calibrate on, a .npy file in a folder that may be written into.
        kept: Layers that are not quantized.
    """
    import openvino

    onnx_integers.quantize(source, images.parent, images, kept)
    model = openvino.convert_model(str(images.with_name("model.onnx")))
    _pack_weights(model)
    _share_constants(model)
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)


def _pack_weights(model: Any) -> None:
    """Keeps matrices in 8 bits, with a scale for each row, and kernels in half precision.

    What is computed with them stays in single precision.
    """
    import numpy as np
    from openvino import opset13

    for constant in _constants(model):
        values = constant.data
        is_weight = sum(length > 1 for length in values.shape) >= 2
        if not is_weight or values.dtype != np.float32:
            continue
        if values.ndim > 2:
            half = opset13.constant(values.astype(np.float16))
            _replace(constant, opset13.convert(half, "f32"))
            continue
        scales = np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-30) / 127
        packed = opset13.constant(np.rint(values / scales).astype(np.int8))
        unpacked = opset13.convert(packed, "f32")
        _replace(constant, opset13.multiply(unpacked, opset13.constant(scales)))


def _share_constants(model: Any) -> None:
    """Joins equal constants, each of which takes some 350 bytes of model.xml."""
    first: dict[tuple[Any, ...], Any] = {}
    for constant in _constants(model):
        value = constant.data
        same = first.setdefault((value.dtype.str, value.shape, value.tobytes()), constant)
        if same is not constant:
            _replace(constant, same)


def _constants(model: Any) -> Iterator[Any]:
    return (node for node in model.get_ordered_ops() if node.get_type_name() == "Constant")


def _replace(node: Any, other: Any) -> None:
    for reader in node.output(0).get_target_inputs():
        reader.replace_source_output(other.output(0))
