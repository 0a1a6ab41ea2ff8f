"""Table of the inference engines."""

from __future__ import annotations

from pipelines.features.engines import keras_engine, onnxruntime_engine, openvino_engine
from pipelines.features.engines.engine import EngineRow
from zoo.table import Table

ENGINES: Table[EngineRow] = Table(
    "engine", [*keras_engine.ROWS, *onnxruntime_engine.ROWS, *openvino_engine.ROWS]
)
