"""MicroResNet: a small residual network for images from 32 px.

Few layers and wide ones, the shape known from DAVIDNet (Page, 2018,
https://myrtle.ai/learn/how-to-train-your-resnet/), its successor ResNet-9 and
airbench (Jordan, 2024, https://arxiv.org/abs/2404.00498). Nothing is
copied; it departs from them in three equal stages with a residual block each.

    prep    3x3 convolution to half the first width
    stage   3x3 convolution, 2x2 max pooling, residual block of two 3x3 convolutions

Every convolution is followed by batch normalisation and ReLU and has no bias, which
batch normalisation would take out again. The prep halves the width so that every
convolution after it costs the same arithmetic: 19 M multiplications at 32 px in the
medium size. Kernels are He-initialised (He et al., 2015,
https://arxiv.org/abs/1502.01852).

The networks are made of Keras' own layers: they run on any backend of Keras, and a
saved one loads where this project is not installed. Weights that this project
trained are rows in `weights` once there are any.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from zoo.backbones.backbone import Backbone


def build_micro_resnet(name: str, widths: tuple[int, int, int], size: int) -> Any:
    """Builds a MicroResNet with random weights.

    Args:
        name: What the model is to be called.
        widths: Filters of each stage, even numbers.
        size: Height and width of the input, in pixels, at least 8 (three
            halvings); it was designed for 32 and more.

    Returns:
        A `keras.Model` from normalised float32 [B, S, S, 3] to features float32
        [B, S // 8, S // 8, F], F the last of `widths`, at least 0.
    """
    from keras import Input, Model
    from keras.layers import Activation, Add, BatchNormalization, Conv2D, MaxPooling2D

    def convolve(x: Any, filters: int, name: str) -> Any:
        x = Conv2D(
            filters,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=name,
        )(x)
        x = BatchNormalization(name=f"{name}_bn")(x)
        return Activation("relu", name=f"{name}_relu")(x)

    inputs = Input((size, size, 3))
    x = convolve(inputs, widths[0] // 2, "prep")
    for index, width in enumerate(widths, start=1):
        stage = f"stage{index}"
        x = convolve(x, width, f"{stage}_conv")
        x = MaxPooling2D(2, name=f"{stage}_pool")(x)
        residual = convolve(x, width, f"{stage}_res1")
        residual = convolve(residual, width, f"{stage}_res2")
        x = Add(name=f"{stage}_add")([x, residual])
    return Model(inputs, x, name=name)


def _load(model: Any, path: Path) -> None:
    from zoo.pretrained_file import load_backbone

    load_backbone(model, path)


def _row(name: str, widths: tuple[int, int, int], parameters: int, summary: str) -> Backbone:
    return Backbone(
        name=name,
        summary=summary,
        build=partial(build_micro_resnet, name, widths),
        load=_load,
        input_size=32,
        min_size=32,
        normalisation="cifar10",
        num_features=widths[-1],
        num_parameters=parameters,
        # A block each convolution: the last stage is three quarters of the network.
        block_pattern=r"stage\d_(?:conv|res\d)",
        paper="Page, 2018, https://myrtle.ai/learn/how-to-train-your-resnet/",
    )


ROWS: tuple[Backbone, ...] = (
    _row(
        "micro_resnet_s",
        (32, 64, 128),
        487_024,
        "small images on a slow machine; trains in minutes",
    ),
    _row("micro_resnet_m", (64, 128, 256), 1_941_728, "first choice for images of about 32 px"),
    _row(
        "micro_resnet_l", (128, 256, 512), 7_754_176, "most accurate for small images; wants a GPU"
    ),
)
