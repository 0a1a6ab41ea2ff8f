"""Conversion of TensorFlow functions to ONNX, with the faults of tf2onnx mended."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

# The newest that ONNX Runtime, OpenVINO and tf2onnx all support.
_OPSET = 18


def build_onnx_model(function: Callable[[Any], Any], images: Any, *, large: bool = False) -> Any:
    """Converts a function of images to ONNX.

    Args:
        function: From a tensor to one or several, the latter by name.
        images: The tensor's `tf.TensorSpec`, whose name the input has.
        large: Whether to collect garbage meanwhile, for weights of some 64 MB and more.

    Returns:
        An `onnx.ModelProto`, whose outputs have the names that the function gives them.
    """
    import onnx
    import tensorflow as tf
    import tf2onnx

    graph = tf.function(function, input_signature=[images])
    with _collecting_garbage() if large else contextlib.nullcontext():
        model, _ = tf2onnx.convert.from_function(graph, [images], opset=_OPSET)
    # Keras keeps the mean of a Normalization layer as a tensor, not a variable, and tf2onnx
    # makes a graph input of it. Turn these inputs into initializers.
    captures = graph.get_concrete_function().graph.captures
    values = {inner.name: value for value, inner in captures if value.dtype != tf.resource}
    inputs = list(model.graph.input)
    del model.graph.input[:]
    for tensor in inputs:
        if tensor.name in values:
            constant = onnx.numpy_helper.from_array(values[tensor.name].numpy(), tensor.name)
            model.graph.initializer.append(constant)
        else:
            model.graph.input.append(tensor)
    _replace_erfc(model.graph)
    return model


@contextlib.contextmanager
def _collecting_garbage() -> Iterator[None]:
    """Collects garbage five times a second until the context ends.

    tf2onnx copies the graph with all weights for each of its passes, and the copies refer to
    themselves: Python frees them by collecting, which it delays the longer, the more objects
    there are. A ViT-B of 340 MB took over 23 GB, and takes 7 GB so.
    """
    ended = threading.Event()

    def collect() -> None:
        while not ended.wait(0.2):
            gc.collect()

    # What exists before need not be visited.
    gc.collect()
    gc.freeze()
    collector = threading.Thread(target=collect, daemon=True)
    collector.start()
    try:
        yield
    finally:
        ended.set()
        collector.join()
        gc.unfreeze()


def _replace_erfc(graph: Any) -> None:
    """Computes GELU's erfc(x) as 1 - erf(x): ONNX has no Erfc, and tf2onnx leaves it as it is."""
    import numpy as np
    import onnx

    one, nodes = "one_of_erfc", []
    for node in graph.node:
        if node.op_type != "Erfc":
            nodes.append(node)
            continue
        erf = f"{node.output[0]}/erf"
        nodes.append(onnx.helper.make_node("Erf", node.input, [erf]))
        nodes.append(onnx.helper.make_node("Sub", [one, erf], node.output))
    if len(nodes) > len(graph.node):
        graph.initializer.append(onnx.numpy_helper.from_array(np.ones(1, np.float32), one))
        del graph.node[:]
        graph.node.extend(nodes)
