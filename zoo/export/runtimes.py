"""Exported networks, opened by the runtime of their format, with NumPy and nothing else.

The proof of an export loads this file by its path, in a process without this project.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Outputs = dict[str, npt.NDArray[Any]]
Network = Callable[[npt.NDArray[np.uint8]], Outputs]
"""Maps images uint8 [B, H, W, 3] to outputs by name, each [B, …]; B is at least 1."""


def open_onnx(folder: Path) -> Network:
    """Opens model.onnx with ONNX Runtime, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return lambda images: dict(
        zip(names, session.run(names, {"images": images}), strict=True),
    )


def open_openvino(folder: Path) -> Network:
    """Opens model.xml with OpenVINO, on the CPU; in single precision, which is not its default."""
    import openvino

    compiled = openvino.Core().compile_model(
        str(folder / "model.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )

    def predict(images: npt.NDArray[np.uint8]) -> Outputs:
        found = compiled([images])
        # Copies, because the request reuses its buffers.
        return {output.get_any_name(): found[output].copy() for output in compiled.outputs}

    return predict


def open_litert(folder: Path) -> Network:
    """Opens model.tflite with LiteRT; images have the height and width of the network."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(folder / "model.tflite"))
    signature = interpreter.get_signature_runner()
    return lambda images: dict(signature(images=images))


OPEN: Mapping[str, Callable[[Path], Network]] = {
    "onnx": open_onnx,
    "openvino": open_openvino,
    "litert": open_litert,
}
"""What opens a version's folder, by the name of the format."""
