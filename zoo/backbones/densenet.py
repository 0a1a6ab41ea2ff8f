"""DenseNet: every layer of a block reads the outputs of all layers before it.

Paper: Huang et al., 2017, https://arxiv.org/abs/1608.06993. Weights: converted from
https://github.com/liuzhuang13/DenseNet; BSD-3-Clause.
"""

from __future__ import annotations

from zoo.backbones.base import Backbone
from zoo.backbones.keras_applications import KerasFamily

_DENSENET = KerasFamily(
    paper="Huang et al., 2017, https://arxiv.org/abs/1608.06993",
    license="BSD-3-Clause",
    origin="converted from https://github.com/liuzhuang13/DenseNet",
    normalization="imagenet",
    block_pattern=r"conv\d_block\d+|pool\d",
    folder="tensorflow/keras-applications/densenet",
)

ROWS: tuple[Backbone, ...] = (
    _DENSENET.row(
        "densenet121",
        "DenseNet121",
        input_size=224,
        num_features=1024,
        num_parameters=7_037_504,
        top1=0.750,
        summary="few parameters, much memory traffic; common in medical imaging",
        file_key="densenet121",
        md5="30ee3e1110167f948a6b9946edeeb738",
    ),
    _DENSENET.row(
        "densenet169",
        "DenseNet169",
        input_size=224,
        num_features=1664,
        num_parameters=12_642_880,
        top1=0.762,
        summary="densenet121 with 40 % more layers",
        file_key="densenet169",
        md5="b8c4d4c20dd625c148057b9ff1c1176b",
    ),
    _DENSENET.row(
        "densenet201",
        "DenseNet201",
        input_size=224,
        num_features=1920,
        num_parameters=18_321_984,
        top1=0.773,
        summary="largest DenseNet; accurate for 18 M parameters, slow to train",
        file_key="densenet201",
        md5="c13680b51ded0fb44dff2d8f86ac8bb1",
    ),
)
