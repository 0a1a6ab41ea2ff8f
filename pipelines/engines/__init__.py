"""Engines: what runs a frozen backbone, behind one interface."""

from pipelines.engines import keras_engine, onnxruntime_engine, openvino_engine
from pipelines.engines.engine import Engine, EngineRow, padded
from pipelines.engines.network import POOLED, Network, network_of
from zoo.table import Table

__all__ = ["ENGINES", "POOLED", "Engine", "EngineRow", "Network", "network_of", "padded"]

ENGINES: Table[EngineRow] = Table(
    "engine", [*keras_engine.ROWS, *onnxruntime_engine.ROWS, *openvino_engine.ROWS]
)
