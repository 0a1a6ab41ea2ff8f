"""Inception v3 and Inception-ResNet v2: modules of parallel convolutions.

Papers: Szegedy et al., 2016, https://arxiv.org/abs/1512.00567 and, for
Inception-ResNet, 2017, https://arxiv.org/abs/1602.07261. Weights: converted from
https://github.com/tensorflow/models; Apache-2.0.
"""

from __future__ import annotations

from dataclasses import replace

from zoo.backbones.base import Backbone
from zoo.backbones.keras_applications import KerasFamily

_INCEPTION = KerasFamily(
    paper="Szegedy et al., 2016, https://arxiv.org/abs/1512.00567",
    license="Apache-2.0",
    origin="converted from https://github.com/tensorflow/models",
    normalization="signed_unit",
    # Only the last layer of a module has a name of its own; mixed9_0 and mixed9_1 lie
    # inside a module.
    block_pattern=r"^mixed\d+$",
    block_ends=True,
    folder="tensorflow/keras-applications/inception_v3",
    min_size=75,
)
_INCEPTION_RESNET = replace(
    _INCEPTION,
    paper="Szegedy et al., 2017, https://arxiv.org/abs/1602.07261",
    block_pattern=r"^(?:mixed_\w+|block\d+_\d+_ac)$",
    folder="tensorflow/keras-applications/inception_resnet_v2",
)

ROWS: tuple[Backbone, ...] = (
    _INCEPTION.row(
        "inception_v3",
        "InceptionV3",
        input_size=299,
        num_features=2048,
        num_parameters=21_802_784,
        top1=0.779,
        summary="good with objects of several scales; needs 299 px",
        file_key="inception_v3",
        md5="bcbd6486424b2319ff4ef7d526e38f63",
    ),
    _INCEPTION_RESNET.row(
        "inception_resnet_v2",
        "InceptionResNetV2",
        input_size=299,
        num_features=1536,
        num_parameters=54_336_736,
        top1=0.803,
        summary="the most accurate network of 2016; slow, needs 299 px",
        file_key="inception_resnet_v2",
        md5="d19885ff4a710c122648d3b5c3b684e4",
    ),
)
