"""OpenVINO, Intel's compiler, as the inference engine, in single precision.

By default OpenVINO computes in bfloat16 on CPUs that support it, which put features of
MobileNetV2 off by 1.4 %; the engine asks for float32. https://docs.openvino.ai
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.features.engines.engine import Engine, EngineRow, cache_sized_batch
from pipelines.features.engines.network import FeatureNetwork
from pipelines.runtime.devices import num_cores

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class OpenVinoEngine:
    """A compiled network with one inference stream per core.

    Args:
        file: The network in ONNX format.
        size: Height and width of the input, in pixels.
    """

    def __init__(self, file: Path, size: int) -> None:
        import openvino

        self.batch_size = cache_sized_batch(size)
        self.num_callers = num_cores()
        core = openvino.Core()
        model = core.read_model(file)
        model.reshape([self.batch_size, size, size, 3])
        options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": self.num_callers,
            "NUM_STREAMS": self.num_callers,
        }
        self.compiled = core.compile_model(model, "CPU", options)
        self._requests = threading.local()

    def __call__(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Runs one batch."""
        if not hasattr(self._requests, "own"):
            # An inference request serves one thread at a time.
            self._requests.own = self.compiled.create_infer_request()
        # A copy, because the request reuses its output buffer.
        features: npt.NDArray[np.float32] = self._requests.own.infer([images])[0].copy()
        return features


def _open(network: FeatureNetwork, folder: Path) -> Engine:
    return OpenVinoEngine(network.onnx_file(folder), network.size)


ROWS = (
    EngineRow(
        "openvino",
        "sometimes fastest on an Intel CPU",
        _open,
        packages=("openvino", "tf2onnx", "onnx"),
        extra="openvino",
    ),
)
