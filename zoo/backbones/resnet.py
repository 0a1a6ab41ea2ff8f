"""ResNet and ResNetV2: residual networks, with activation after or before each sum.

Papers: He et al., 2016, https://arxiv.org/abs/1512.03385 and, for V2,
https://arxiv.org/abs/1603.05027. Weights: ResNet's converted from the authors' Caffe
models, https://github.com/KaimingHe/deep-residual-networks (MIT); V2's from
https://github.com/facebook/fb.resnet.torch (BSD-3-Clause).
"""

from __future__ import annotations

from dataclasses import replace

from zoo.backbones.base import Backbone
from zoo.backbones.keras_applications import KerasFamily

_RESNET = KerasFamily(
    paper="He et al., 2016, https://arxiv.org/abs/1512.03385",
    license="MIT",
    origin="converted from https://github.com/KaimingHe/deep-residual-networks",
    normalization="caffe",
    block_pattern=r"conv\d_block\d+",
    folder="tensorflow/keras-applications/resnet",
)
_RESNET_V2 = replace(
    _RESNET,
    paper="He et al., 2016, https://arxiv.org/abs/1603.05027",
    license="BSD-3-Clause",
    origin="converted from https://github.com/facebook/fb.resnet.torch",
    normalization="signed_unit",
)

ROWS: tuple[Backbone, ...] = (
    _RESNET.row(
        "resnet50",
        "ResNet50",
        input_size=224,
        num_features=2048,
        num_parameters=23_587_712,
        top1=0.749,
        summary="the usual baseline that papers compare with",
        file_key="resnet50",
        md5="4d473c1dd8becc155b73f8504c6f6626",
    ),
    _RESNET.row(
        "resnet101",
        "ResNet101",
        input_size=224,
        num_features=2048,
        num_parameters=42_658_176,
        top1=0.764,
        summary="twice the depth of resnet50 for 1.5 points",
        file_key="resnet101",
        md5="88cf7a10940856eca736dc7b7e228a21",
    ),
    _RESNET.row(
        "resnet152",
        "ResNet152",
        input_size=224,
        num_features=2048,
        num_parameters=58_370_944,
        top1=0.766,
        summary="deepest ResNet; resnet152_v2 is more accurate at the same cost",
        file_key="resnet152",
        md5="ee4c566cf9a93f14d82f913c2dc6dd0c",
    ),
    _RESNET_V2.row(
        "resnet50_v2",
        "ResNet50V2",
        input_size=224,
        num_features=2048,
        num_parameters=23_564_800,
        top1=0.760,
        summary="resnet50 with pre-activation: easier to train, one point more accurate",
        file_key="resnet50v2",
        md5="fac2f116257151a9d068a22e544a4917",
    ),
    _RESNET_V2.row(
        "resnet101_v2",
        "ResNet101V2",
        input_size=224,
        num_features=2048,
        num_parameters=42_626_560,
        top1=0.772,
        summary="deeper pre-activation ResNet, for larger data sets",
        file_key="resnet101v2",
        md5="c0ed64b8031c3730f411d2eb4eea35b5",
    ),
    _RESNET_V2.row(
        "resnet152_v2",
        "ResNet152V2",
        input_size=224,
        num_features=2048,
        num_parameters=58_331_648,
        top1=0.780,
        summary="deepest pre-activation ResNet; slow without a GPU",
        file_key="resnet152v2",
        md5="ed17cf2e0169df9d443503ef94b23b33",
    ),
)
