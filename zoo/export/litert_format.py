"""LiteRT, formerly TensorFlow Lite. https://ai.google.dev/edge/litert."""

from __future__ import annotations

from pathlib import Path


def convert(graph: Path, folder: Path, quantize: str) -> None:
    """Writes model.tflite.

    Args:
        graph: The SavedModel of `zoo.export.graph`.
        folder: The folder to write into.
        quantize: `none`, or `float16`, which holds for the weights alone.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(graph), signature_keys=["serving_default"]
    )
    if quantize == "float16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    (folder / "model.tflite").write_bytes(converter.convert())
