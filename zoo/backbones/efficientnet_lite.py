"""EfficientNet-Lite: EfficientNets of plain convolutions, for phones and CPUs.

Papers: Tan and Le, 2019, https://arxiv.org/abs/1905.11946, whose inverted residual
blocks are those of MobileNetV2 (Sandler et al., 2018, https://arxiv.org/abs/1801.04381).
The Lite variant and its figures were published with TensorFlow's TPU models,
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
(Apache-2.0). It differs from EfficientNet in three ways:

- no squeeze-and-excitation;
- ReLU6 instead of swish;
- stem and top keep their widths, first and last stage their depths, at every scale.

Padding is TensorFlow's SAME, which at stride 2 and an even size pads at the bottom and
right alone; the weights were trained with it. The networks use Keras' own layers alone,
so that a saved one loads without this project.

Weights: of lite0 to lite2, shipped in zoo/pretrained/ with a card each, converted by
zoo/pretrained/convert_efficientnet_lite.py from Python packages of ML Illustrated
(Apache-2.0), which took them from TensorFlow's checkpoints.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

from zoo.backbones.base import Backbone
from zoo.weights.row import Weights

_STEM_FILTERS = 32
_TOP_FILTERS = 1280
# A stage: blocks, kernel size, stride of the first block, expansion, filters.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def build_efficientnet_lite(name: str, width: float, depth: float, size: int) -> Any:
    """Builds an EfficientNet-Lite without its classification top, with random weights.

    Args:
        name: The model's name.
        width: Factor of the filters of each stage.
        depth: Factor of the blocks of each stage but the first and the last.
        size: S, height and width of the input in pixels.

    Returns:
        A `keras.Model` from float32 [B, S, S, 3], (pixels − 127) / 128, to features
        float32 [B, ⌈S / 32⌉, ⌈S / 32⌉, 1280] from 0 to 6.
    """
    from keras import Input, Model

    inputs = Input((size, size, 3))
    x = _convolve(inputs, _STEM_FILTERS, 3, "stem", strides=2)
    for index, (blocks, kernel, strides, expansion, filters) in enumerate(_STAGES):
        if 0 < index < len(_STAGES) - 1:
            blocks = math.ceil(depth * blocks)
        for block in range(blocks):
            x = _add_block(
                x,
                f"block{index + 1}{chr(ord('a') + block)}",
                kernel=kernel,
                strides=strides if block == 0 else 1,
                expansion=expansion,
                filters=_scale_filters(filters, width),
            )
    x = _convolve(x, _TOP_FILTERS, 1, "top")
    return Model(inputs, x, name=name)


def _scale_filters(filters: int, width: float) -> int:
    """Scales a number of filters and rounds it to a multiple of 8, by at most 10 % down."""
    scaled = filters * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def _add_block(
    x: Any, name: str, *, kernel: int, strides: int, expansion: int, filters: int
) -> Any:
    """Adds an inverted residual block: expand 1x1, depthwise, project 1x1, skip."""
    from keras.layers import Add, DepthwiseConv2D

    num_inputs = x.shape[-1]
    y = x if expansion == 1 else _convolve(x, expansion * num_inputs, 1, f"{name}_expand")
    y = DepthwiseConv2D(
        kernel,
        strides=strides,
        padding="same",
        use_bias=False,
        depthwise_initializer=_initializer(),
        name=f"{name}_depthwise_conv",
    )(y)
    y = _activate(_normalize(y, f"{name}_depthwise"), f"{name}_depthwise")
    y = _convolve(y, filters, 1, f"{name}_project", activate=False)
    if strides == 1 and num_inputs == filters:
        y = Add(name=f"{name}_add")([x, y])
    return y


def _convolve(
    x: Any, filters: int, kernel: int, name: str, *, strides: int = 1, activate: bool = True
) -> Any:
    """Convolves and normalizes, with ReLU6 after it by default."""
    from keras.layers import Conv2D

    x = Conv2D(
        filters,
        kernel,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer=_initializer(),
        name=f"{name}_conv",
    )(x)
    x = _normalize(x, name)
    return _activate(x, name) if activate else x


def _normalize(x: Any, name: str) -> Any:
    from keras.layers import BatchNormalization

    return BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)


def _activate(x: Any, name: str) -> Any:
    from keras.layers import Activation

    return Activation("relu6", name=f"{name}_relu6")(x)


def _initializer() -> Any:
    """Returns the initializer of the paper's code: normal, variance 2 / fan-out."""
    from keras.initializers import VarianceScaling

    return VarianceScaling(2.0, "fan_out", "untruncated_normal")


def _load(model: Any, path: Path) -> None:
    from zoo.weights.archive import load_backbone

    load_backbone(model, path)


def _imagenet(name: str, input_size: int, sha256: str, top1: float) -> Weights:
    return Weights(
        name=f"{name}.imagenet",
        url=f"{name}.imagenet.npz",
        file=f"{name}.imagenet.npz",
        sha256=sha256,
        license="Apache-2.0",
        data="ImageNet-1k",
        input_size=input_size,
        normalization="offset_127",
        top1=top1,
        origin="TensorFlow TPU models, converted by zoo/pretrained/convert_efficientnet_lite.py",
    )


def _row(
    scale: int,
    width: float,
    depth: float,
    input_size: int,
    parameters: int,
    summary: str,
    sha256: str = "",
    top1: float = 0.0,
) -> Backbone:
    name = f"efficientnet_lite{scale}"
    return Backbone(
        name=name,
        summary=summary,
        build=partial(build_efficientnet_lite, name, width, depth),
        load=_load,
        input_size=input_size,
        min_size=32,
        normalization="offset_127",
        num_features=_TOP_FILTERS,
        num_parameters=parameters,
        block_pattern=r"block\d[a-z]|top",
        paper="Tan and Le, 2019, https://arxiv.org/abs/1905.11946",
        weights=(_imagenet(name, input_size, sha256, top1),) if sha256 else (),
    )


# Published accuracies on ImageNet's validation images; those of lite3 and lite4, 0.798 and
# 0.815, belong to weights that are not shipped.
ROWS: tuple[Backbone, ...] = (
    _row(
        0,
        1.0,
        1.0,
        224,
        3_413_024,
        "first choice for photographs on a CPU, with shipped ImageNet weights",
        "758cc8493f96ff01c41caab03d8418e46d63d59d00db6caf41f4cfd0bef9d07e",
        0.751,
    ),
    _row(
        1,
        1.0,
        1.1,
        240,
        4_189_344,
        "a little more accurate and slower than lite0, with shipped ImageNet weights",
        "76f77e9cc158a3cec5415fe6710b45bdd8b4fd15fbcd9621fb47b67f2a5e2c2f",
        0.767,
    ),
    _row(
        2,
        1.1,
        1.2,
        260,
        4_869_168,
        "most accurate on photographs with shipped ImageNet weights",
        "2981f3a94bf8d9cb3ea73b2e0664add274368d773fd07a5b0dee8a3d8ad24652",
        0.776,
    ),
    _row(3, 1.2, 1.4, 280, 6_992_768, "between lite2 and lite4; no pretrained weights"),
    _row(4, 1.4, 1.8, 300, 11_837_936, "most accurate EfficientNet-Lite; no pretrained weights"),
)
