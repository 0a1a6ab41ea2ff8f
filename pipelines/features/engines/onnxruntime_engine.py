"""ONNX Runtime as the inference engine, one single-threaded call per core.

It folds batch normalization into convolutions and tiles their loops for the cache.
https://onnxruntime.ai
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.features.engines.engine import Engine, EngineRow, cache_sized_batch
from pipelines.features.engines.network import FeatureNetwork
from pipelines.runtime.devices import num_cores

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class OnnxRuntimeEngine:
    """A single-threaded session that one thread per core calls.

    A small batch on each core keeps a layer's output in that core's cache; one large batch
    spread over all cores does not fit.

    Args:
        file: The network in ONNX format.
        size: Height and width of the input, in pixels.
    """

    def __init__(self, file: Path, size: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
        self.batch_size = cache_sized_batch(size)
        self.num_callers = num_cores()

    def __call__(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Runs one batch."""
        features: npt.NDArray[np.float32] = self.session.run(None, {"images": images})[0]
        return features


def _open(network: FeatureNetwork, folder: Path) -> Engine:
    return OnnxRuntimeEngine(network.onnx_file(folder), network.size)


ROWS = (
    EngineRow(
        "onnxruntime",
        "usually fastest on a CPU",
        _open,
        packages=("onnxruntime", "tf2onnx", "onnx"),
        extra="onnx",
    ),
)
