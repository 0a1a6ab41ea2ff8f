"""Xception: an Inception network of depthwise separable convolutions.

Paper: Chollet, 2017, https://arxiv.org/abs/1610.02357. Weights: trained on ImageNet by
the paper's author, who is also Keras'; MIT.
"""

from __future__ import annotations

from zoo.backbones.base import Backbone
from zoo.backbones.keras_applications import KerasFamily

_XCEPTION = KerasFamily(
    paper="Chollet, 2017, https://arxiv.org/abs/1610.02357",
    license="MIT",
    origin="trained by Keras' author",
    normalization="signed_unit",
    block_pattern=r"block\d+",
    folder="tensorflow/keras-applications/xception",
    min_size=71,
)

ROWS: tuple[Backbone, ...] = (
    _XCEPTION.row(
        "xception",
        "Xception",
        input_size=299,
        num_features=2048,
        num_parameters=20_861_480,
        top1=0.790,
        summary="strong on photographs for its size; separable convolutions are slow on a CPU",
        file_key="xception",
        md5="b0042744bf5b25fce3cb969f33bebb97",
    ),
)
