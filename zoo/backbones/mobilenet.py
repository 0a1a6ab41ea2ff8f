"""MobileNet, MobileNetV2 and MobileNetV3: small networks for phones and CPUs.

Papers: Howard et al., 2017, https://arxiv.org/abs/1704.04861; Sandler et al., 2018,
https://arxiv.org/abs/1801.04381; Howard et al., 2019, https://arxiv.org/abs/1905.02244.
Weights: converted from https://github.com/tensorflow/models; Apache-2.0. V3's top-1 is
that of the docstring of Keras' mobilenet_v3.py. Keras publishes no digest for the files
of MobileNet and MobileNetV2.
"""

from __future__ import annotations

from dataclasses import replace

from zoo.backbones.base import Backbone
from zoo.backbones.keras_applications import KerasFamily

_MOBILENET = KerasFamily(
    paper="Howard et al., 2017, https://arxiv.org/abs/1704.04861",
    license="Apache-2.0",
    origin="converted from https://github.com/tensorflow/models",
    normalization="signed_unit",
    block_pattern=r"conv_[dp]w_(\d+)",
    folder="tensorflow/keras-applications/mobilenet",
    file_template="{}_tf_no_top.h5",
)
_MOBILENET_V2 = replace(
    _MOBILENET,
    paper="Sandler et al., 2018, https://arxiv.org/abs/1801.04381",
    block_pattern=r"block_\d+|expanded_conv|Conv_1",
    folder="tensorflow/keras-applications/mobilenet_v2",
    file_template="mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{}_no_top.h5",
)
_MOBILENET_V3 = replace(
    _MOBILENET,
    paper="Howard et al., 2019, https://arxiv.org/abs/1905.02244",
    normalization="none",
    block_pattern=r"expanded_conv(?:_\d+)?|conv_1",
    folder="tensorflow/keras-applications/mobilenet_v3",
    file_template="weights_mobilenet_v3_{}_float_no_top_v2.h5",
)

ROWS: tuple[Backbone, ...] = (
    _MOBILENET.row(
        "mobilenet",
        "MobileNet",
        input_size=224,
        num_features=1024,
        num_parameters=3_228_864,
        top1=0.704,
        summary="small, fast and simple; mobilenet_v2 is as accurate and smaller",
        file_key="mobilenet_1_0_224",
    ),
    _MOBILENET_V2.row(
        "mobilenet_v2",
        "MobileNetV2",
        input_size=224,
        num_features=1280,
        num_parameters=2_257_984,
        top1=0.713,
        summary="first choice on a CPU or a phone",
        file_key="1.0_224",
    ),
    _MOBILENET_V3.row(
        "mobilenet_v3_small",
        "MobileNetV3Small",
        input_size=224,
        num_features=576,
        num_parameters=939_120,
        top1=0.681,
        summary="smallest with useful ImageNet features; for low latency",
        file_key="small_224_1.0",
        md5="d3e8ec802a04aa4fc771ee12a9a9b836",
    ),
    _MOBILENET_V3.row(
        "mobilenet_v3_large",
        "MobileNetV3Large",
        input_size=224,
        num_features=960,
        num_parameters=2_996_352,
        top1=0.756,
        summary="more accurate than mobilenet_v2 at about its latency",
        file_key="large_224_1.0",
        md5="07fb09a5933dd0c8eaafa16978110389",
    ),
)
