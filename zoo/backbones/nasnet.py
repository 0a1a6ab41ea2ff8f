"""NASNet: cells found by architecture search.

Paper: Zoph et al., 2018, https://arxiv.org/abs/1707.07012. Weights: converted from
https://github.com/tensorflow/models; Apache-2.0.
"""

from __future__ import annotations

from zoo.backbones.base import Backbone
from zoo.backbones.keras_applications import KerasFamily

_NASNET = KerasFamily(
    paper="Zoph et al., 2018, https://arxiv.org/abs/1707.07012",
    license="Apache-2.0",
    origin="converted from https://github.com/tensorflow/models",
    normalization="signed_unit",
    # A name ends in its cell: normal_conv_1_12, reduction_add_1_stem_2.
    block_pattern=r"^(?:adjust|normal|reduction|separable)_.*?_(stem_\d|reduce_\d+|\d+)$",
    folder="tensorflow/keras-applications/nasnet",
    file_template="NASNet-{}-no-top.h5",
)

ROWS: tuple[Backbone, ...] = (
    _NASNET.row(
        "nasnet_mobile",
        "NASNetMobile",
        input_size=224,
        num_features=1056,
        num_parameters=4_269_716,
        top1=0.744,
        summary="found by architecture search; many small operations make it slow for its size",
        file_key="mobile",
        md5="1ed92395b5b598bdda52abe5c0dbfd63",
    ),
    _NASNET.row(
        "nasnet_large",
        "NASNetLarge",
        input_size=331,
        num_features=4032,
        num_parameters=84_916_818,
        top1=0.825,
        summary="accurate and very slow; EfficientNetV2 is more accurate and cheaper",
        file_key="large",
        md5="d81d89dc07e6e56530c4e77faddd61b5",
    ),
)
