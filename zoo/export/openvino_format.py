"""OpenVINO's own format, converted from ONNX. https://docs.openvino.ai."""

from __future__ import annotations

from pathlib import Path


def convert(graph: Path, folder: Path, quantize: str) -> None:
    """Writes model.xml and model.bin.

    Args:
        graph: The SavedModel of `zoo.export.graph`.
        folder: The folder to write into.
        quantize: `none`, or `float16`, which holds for the weights alone.
    """
    import onnx
    import openvino

    from zoo.export.onnx_format import convert_graph

    source = graph.with_name("network.onnx")
    onnx.save(convert_graph(graph), source)
    model = openvino.convert_model(str(source))
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=quantize == "float16")
