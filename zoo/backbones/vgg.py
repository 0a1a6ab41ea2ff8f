"""VGG: plain stacks of 3x3 convolutions, without residuals or normalization.

Paper: Simonyan and Zisserman, 2015, https://arxiv.org/abs/1409.1556. Weights: converted
from the authors' Caffe models,
https://www.robots.ox.ac.uk/~vgg/research/very_deep/; CC-BY-4.0, which asks for credit.
"""

from __future__ import annotations

from dataclasses import replace

from zoo.backbones.base import Backbone
from zoo.backbones.keras_applications import KerasFamily

_VGG = KerasFamily(
    paper="Simonyan and Zisserman, 2015, https://arxiv.org/abs/1409.1556",
    license="CC-BY-4.0",
    origin="converted from VGG, Oxford, https://www.robots.ox.ac.uk/~vgg/research/very_deep/",
    normalization="caffe",
    # One block a convolution: VGG's own fifth block holds half of the weights.
    block_pattern=r"block\d_conv\d",
    folder="tensorflow/keras-applications/vgg16",
)
_VGG_19 = replace(_VGG, folder="tensorflow/keras-applications/vgg19")

ROWS: tuple[Backbone, ...] = (
    _VGG.row(
        "vgg16",
        "VGG16",
        input_size=224,
        num_features=512,
        num_parameters=14_714_688,
        top1=0.713,
        summary="a classic without residuals or normalization; large files, slow",
        file_key="vgg16",
        md5="6d6bbae143d832006294945121d1f1fc",
    ),
    _VGG_19.row(
        "vgg19",
        "VGG19",
        input_size=224,
        num_features=512,
        num_parameters=20_024_384,
        top1=0.713,
        summary="three more convolutions than vgg16 at the same accuracy",
        file_key="vgg19",
        md5="253f8cb515780f3b799900260a226db6",
    ),
)
