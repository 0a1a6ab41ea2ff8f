"""Engines: what runs a frozen backbone, behind one interface."""

from pipelines.features.engines import keras_engine, onnxruntime_engine, openvino_engine
from pipelines.features.engines.engine import Engine, EngineRow, padded
from pipelines.features.engines.network import POOLED, Network, build_feature_network
from zoo.table import Table

__all__ = ["ENGINES", "POOLED", "Engine", "EngineRow", "Network", "build_feature_network", "padded"]

ENGINES: Table[EngineRow] = Table(
    "engine", [*keras_engine.ROWS, *onnxruntime_engine.ROWS, *openvino_engine.ROWS]
)
