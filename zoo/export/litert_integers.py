"""Convolutions of a LiteRT network in 8-bit integers, by AI Edge Quantizer.

The weights of dense layers, among them the images that unknown scores compare with, have 8 bits,
too, and are computed with in single precision; what is left out has its weights in half precision.

Reference: https://github.com/google-ai-edge/ai-edge-quantizer
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zoo.export.layer_ranking import MAX_RANKED_ON, layer_name, rank_groups

_BATCH_SIZE = 8
"""Images that are calibrated on at once."""

_CHANNEL_AXES = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}
"""The axis of a kernel that has an output each, by the operation."""

_BIAS_BITS = 30
"""Bits that a bias may take of 32, so that adding to it does not overflow."""

_WEIGHT_STEPS = 127
"""Integers to either side of 0 that weights become."""

_ACTIVATION_STEPS = 255
"""Integers beside the lowest that activations become."""

_INTEGERS: dict[str, Any] = {
    "activation_tensor_config": {"num_bits": 8, "symmetric": False, "granularity": "TENSORWISE"},
    "weight_tensor_config": {"num_bits": 8, "symmetric": True, "granularity": "CHANNELWISE"},
    "compute_precision": "INTEGER",
}
_UNPACKED = {"compute_precision": "FLOAT", "explicit_dequantize": True}
_INTEGER_WEIGHTS = {"weight_tensor_config": _INTEGERS["weight_tensor_config"], **_UNPACKED}
_HALF_WEIGHTS = {"weight_tensor_config": {"num_bits": 16, "dtype": "FLOAT"}, **_UNPACKED}


class _Convolution(NamedTuple):
    """A convolution with constant weights.

    Args:
        layer: The name of its layer in Keras.
        kind: The operation, a key of `_CHANNEL_AXES`.
        source: The name of the tensor that it reads.
        result: The name of the tensor that it writes, which is its own.
        kernel: The buffer of its weights.
        shape: Of the weights, with the outputs along the axis of `_CHANNEL_AXES`.
        bias: The buffer of its bias; None without one.
    """

    layer: str
    kind: str
    source: str
    result: str
    kernel: Any
    shape: tuple[int, ...]
    bias: Any


def quantize(source: Path, folder: Path, images: Path, kept: Sequence[str]) -> None:
    """Writes model.tflite with convolutions in 8-bit integers.

    Args:
        source: The folder of a model.tflite in single precision.
        folder: The folder to write into.
        images: Images to calibrate the ranges of activations on, a .npy file, uint8 [N, S, S, 3].
        kept: Layers that are not quantized, some of those that `rank_layers` names.
    """
    import numpy as np

    network = _Network(source / "model.tflite", np.load(images, mmap_mode="r"))
    left_out = [each for each in network.convolutions if each.layer in kept]
    (folder / "model.tflite").write_bytes(network.quantize(left_out))


def rank_layers(source: Path, images: Path) -> list[list[str]]:
    """Ranks groups of layers by what their quantization costs, on up to 32 images.

    Args:
        source: The folder of a model.tflite in single precision.
        images: As of `quantize`.

    Returns:
        As `zoo.export.layer_ranking.rank_groups`.
    """
    import numpy as np

    pixels = np.load(images, mmap_mode="r")[:MAX_RANKED_ON]
    network = _Network(source / "model.tflite", pixels)
    convolutions = network.convolutions

    def predict(places: Collection[int]) -> list[Any]:
        left_out = [each for place, each in enumerate(convolutions) if place not in places]
        return _predict(network.quantize(left_out), pixels)

    return rank_groups([each.layer for each in convolutions], predict)


class _Network:
    """A network in single precision with the ranges of its activations on some images.

    Args:
        file: A .tflite file.
        pixels: The images, uint8 [N, S, S, 3].
    """

    def __init__(self, file: Path, pixels: Any) -> None:
        from ai_edge_litert.tools import flatbuffer_utils
        from ai_edge_quantizer import Quantizer

        model = flatbuffer_utils.read_model(str(file))
        self.convolutions = list(_find_convolutions(model))
        quantizer = Quantizer(str(file), _recipe(()))
        # A list, since the quantizer counts them first.
        batches = [{"images": batch} for batch in _split(pixels)]
        self._ranges = quantizer.calibrate(
            {"serving_default": batches}, num_threads=os.cpu_count() or 1
        )
        for each in self.convolutions:
            _make_room_for_biases(each, self._ranges)
        self._content = bytes(flatbuffer_utils.convert_object_to_bytearray(model))

    def quantize(self, left_out: Sequence[_Convolution]) -> bytes:
        """Returns a .tflite file with all convolutions but some in integers."""
        from ai_edge_quantizer import Quantizer

        quantizer = Quantizer(self._content, _recipe(left_out))
        done = quantizer.quantize(
            self._ranges, enable_progress_bar=False, enable_progress_report=False
        )
        return bytes(done.quantized_model)


def _recipe(left_out: Sequence[_Convolution]) -> list[dict[str, Any]]:
    """Returns rules of AI Edge Quantizer, of which the last that fits an operation holds."""
    rules = [(".*", kind, "min_max_uniform_quantize", _INTEGERS) for kind in _CHANNEL_AXES]
    rules.append((".*", "FULLY_CONNECTED", "min_max_uniform_quantize", _INTEGER_WEIGHTS))
    # The quantizer ends each name with a semicolon.
    rules += [
        (f"^{re.escape(each.result)};", each.kind, "float_casting", _HALF_WEIGHTS)
        for each in left_out
    ]
    keys = ("regex", "operation", "algorithm_key", "op_config")
    return [dict(zip(keys, rule, strict=True)) for rule in rules]


def _find_convolutions(model: Any) -> Iterator[_Convolution]:
    """Yields the convolutions with constant weights, in the order of the network.

    Args:
        model: A `ModelT` of LiteRT's schema, whose buffers what is yielded refers to.
    """
    from ai_edge_litert.tools.flatbuffer_utils import opcode_to_name

    (graph,) = model.subgraphs
    for operation in graph.operators:
        kind = opcode_to_name(model, operation.opcodeIndex)
        if kind not in _CHANNEL_AXES:
            continue
        # A place of -1 stands for a bias that is not there.
        source, kernel, *biases = [graph.tensors[place] for place in operation.inputs if place >= 0]
        weights = model.buffers[kernel.buffer]
        if weights.data is None:
            continue
        result = graph.tensors[operation.outputs[0]].name.decode()
        yield _Convolution(
            layer_name(result, kernel.name.decode(), result),
            kind,
            source.name.decode(),
            result,
            weights,
            tuple(kernel.shape),
            model.buffers[biases[0].buffer] if biases else None,
        )


def _make_room_for_biases(convolution: _Convolution, ranges: Mapping[str, Any]) -> None:
    """Raises weights that are so small that a bias beside them would overflow.

    The unit of a bias is the product of the units of weights and activations. Where training has
    switched a channel off, its weights and with them that unit are all but 0, and AI Edge
    Quantizer 0.10 writes biases beyond 32 bits as the lowest integer, whatever their sign. The
    channel's largest weight is raised until its bias takes 30 bits. That adds less than 1 in
    30,000 of the bias to what the channel answers.

    Args:
        convolution: Changed in place, in its buffers.
        ranges: The ranges of activations, by tensor.
    """
    import numpy as np

    found = ranges[convolution.source]
    width = max(found["max"].max(), 0) - min(found["min"].min(), 0)
    if convolution.bias is None or width == 0:
        return
    kernel = np.array(np.frombuffer(convolution.kernel.data, np.float32))
    channels = np.moveaxis(kernel.reshape(convolution.shape), _CHANNEL_AXES[convolution.kind], 0)
    biases = np.abs(np.frombuffer(convolution.bias.data, np.float32))
    least_weights = _WEIGHT_STEPS * biases / (width / _ACTIVATION_STEPS * 2.0**_BIAS_BITS)
    for channel, least in zip(channels, least_weights, strict=True):
        place = np.unravel_index(np.abs(channel).argmax(), channel.shape)
        channel[place] = np.copysign(max(abs(channel[place]), least), channel[place])
    convolution.kernel.data = kernel.view(np.uint8)


def _split(pixels: Any) -> list[Any]:
    starts = range(0, len(pixels), _BATCH_SIZE)
    return [pixels[start : start + _BATCH_SIZE] for start in starts]


def _predict(content: bytes, pixels: Any) -> list[Any]:
    """Returns a network's outputs that are numbers."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    answer = Interpreter(model_content=content).get_signature_runner()
    batches = [
        {name: value.copy() for name, value in answer(images=batch).items()}
        for batch in _split(pixels)
    ]
    numbers = [name for name, value in batches[0].items() if value.dtype == np.float32]
    return [np.concatenate([batch[name] for batch in batches]) for name in sorted(numbers)]
