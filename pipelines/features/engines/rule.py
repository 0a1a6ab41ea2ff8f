"""Rule that chooses an engine by the network, the machine and what is installed; times nothing.

The same command gets the same engine, and so the same features to the last bit, however busy
the machine is and whatever the cache holds. The size of the job stays out of it: training, a
search and an evaluation on the same images share their features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pipelines.features.engines.cost import count_multiply_adds
from pipelines.features.engines.engine import EngineRow
from pipelines.features.engines.network import FeatureNetwork
from pipelines.runtime.processor import vector_instructions
from zoo.table import Table

MIN_MULTIPLY_ADDS = 200_000_000
"""Multiply-adds for one image from which on converting the network pays.

Two cores of a Xeon with AVX-512, images/s of Keras, ONNX Runtime and OpenVINO, by CPU time,
and seconds to convert the network:

| network | px | multiply-adds | Keras | ONNX Runtime | OpenVINO | conversion |
|---|---:|---:|---:|---:|---:|---:|
| MicroResNet-S | 32 | 25 M | 5,522 | 5,772 | 7,150 | 0.3 |
| MobileNetV2 | 96 | 55 M | 752 | 1,708 | 1,860 | 2 |
| MicroResNet-M | 32 | 86 M | 1,821 | 1,976 | 2,274 | 1.6 |
| SqueezeNet 1.1 | 224 | 263 M | 373 | 510 | 362 | 0.8 |
| MobileNetV2 | 224 | 299 M | 177 | 357 | 406 | 3.4 |
| EfficientNet-Lite0 | 224 | 384 M | 136 | 355 | 380 | 2.1 |
| EfficientNet-Lite2 | 260 | 858 M | 68 | 137 | 141 | 3.5 |
| ResNet-50 | 224 | 3,856 M | 38 | 90 | 53 | |

Above, a job of some hundred views makes up for the conversion, which is kept; below, it takes
thousands.
"""

PREFERRED = ("onnxruntime", "openvino")
"""Engines that are faster than Keras on a CPU, the one that never lost to it first."""

_VECTOR_INSTRUCTIONS = frozenset({"X86_V3", "AVX2", "ASIMD"})
"""Any of these, and the engines' fast convolutions run: AVX2 under both of NumPy's names, NEON."""


@dataclass(frozen=True)
class EngineFacts:
    """All that the rule looks at besides the installed engines.

    Args:
        multiply_adds: Of the network, for one image.
        precision: The Keras dtype policy of its computation.
        backend: Keras' backend.
        gpu: Whether TensorFlow sees a GPU.
        vector_instructions: Of the processor, see `pipelines.runtime.processor`.
    """

    multiply_adds: int
    precision: str
    backend: str
    gpu: bool
    vector_instructions: frozenset[str]

    @classmethod
    def of(cls, network: FeatureNetwork) -> EngineFacts:
        """Returns the facts about a network on this machine."""
        import keras
        import tensorflow as tf

        return cls(
            multiply_adds=count_multiply_adds(network.model),
            precision=network.precision,
            backend=keras.backend.backend(),
            gpu=bool(tf.config.list_physical_devices("GPU")),
            vector_instructions=vector_instructions(),
        )

    @property
    def obstacle(self) -> str:
        """Why no engine but Keras can run the network, or is faster; empty if one may be."""
        # tf2onnx converts TensorFlow graphs, and the engines run in float32.
        if self.precision != "float32":
            return f"it alone computes in {self.precision}"
        if self.backend != "tensorflow":
            return f"Keras' backend is {self.backend}"
        return "there is a GPU" if self.gpu else ""


class EngineChoice(NamedTuple):
    """An engine and why.

    Args:
        name: A row of ENGINES.
        reason: The end of a sentence that begins with the name, to log.
    """

    name: str
    reason: str


def choose_by_rule(engines: Table[EngineRow], facts: EngineFacts) -> EngineChoice:
    """Chooses an engine; a pure function of what is installed and the facts.

    Args:
        engines: The engines to choose from, `keras` among them.
        facts: The network and the machine.
    """
    if facts.obstacle:
        return EngineChoice("keras", facts.obstacle)
    if not facts.vector_instructions & _VECTOR_INSTRUCTIONS:
        return EngineChoice("keras", "the processor has neither AVX2 nor NEON")
    cost = f"{facts.multiply_adds / 1e6:,.0f} million multiply-adds an image"
    if facts.multiply_adds < MIN_MULTIPLY_ADDS:
        return EngineChoice("keras", f"{cost} are too few to convert the network for")
    for name in PREFERRED:
        if name in engines and engines[name].installed:
            return EngineChoice(name, cost)
    return EngineChoice("keras", "no other is installed")
