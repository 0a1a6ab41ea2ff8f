"""ONNX, for ONNX Runtime. https://onnxruntime.ai."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

_MIN_HALVED = 256
"""Values from which on a constant is a weight that is worth a cast."""


def convert(graph: Path, folder: Path, quantize: str) -> None:
    """Writes model.onnx.

    Args:
        graph: The SavedModel of `zoo.export.graph`.
        folder: The folder to write into.
        quantize: `none`, or `float16`, which holds for the weights alone.
    """
    import onnx

    model = convert_graph(graph)
    if quantize == "float16":
        halve_weights(model.graph)
    onnx.save(model, folder / "model.onnx")


def convert_graph(graph: Path) -> Any:
    """Converts the SavedModel of `zoo.export.graph`; returns an `onnx.ModelProto`."""
    import tensorflow as tf

    from zoo.export.onnx_graph import build_onnx_model

    loaded = tf.saved_model.load(str(graph))
    signature = loaded.signatures["serving_default"]
    spec = signature.structured_input_signature[1]["images"]
    images = tf.TensorSpec(spec.shape, spec.dtype, name="images")
    model = build_onnx_model(lambda images: signature(images=images), images, large=True)
    remove_unread(model.graph)
    return model


def remove_unread(graph: Any) -> None:
    """Removes constants that no node reads: ONNX Runtime warns of each, whenever it loads the file.

    Args:
        graph: An `onnx.GraphProto`; changed in place.
    """
    read = {*_names_read(graph), *(output.name for output in graph.output)}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _names_read(graph: Any) -> Iterator[str]:
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _names_read(attribute.g)


def halve_weights(graph: Any, without: Collection[str] = ()) -> None:
    """Keeps weights in half precision, to be computed with in single precision.

    ONNX Runtime's own conversion of whole networks gives two nodes the same name.

    Args:
        graph: An `onnx.GraphProto`; changed in place.
        without: Names of constants that stay as they are.
    """
    import numpy as np
    import onnx

    casts = []
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        is_weight = values.dtype == np.float32 and tensor.name not in without
        if is_weight and values.size >= _MIN_HALVED:
            name = tensor.name
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}/half"))
            casts.append(
                onnx.helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT)
            )
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
