"""ConvNeXt: a residual network with the design choices of vision transformers.

Paper: Liu et al., 2022, https://arxiv.org/abs/2201.03545. Weights: converted from
https://github.com/facebookresearch/ConvNeXt; MIT. Base, large and extra large were
pretrained on ImageNet-21k. Normalization is part of the networks, which take pixels in
0 to 255.
"""

from __future__ import annotations

from dataclasses import replace

from zoo.backbones.base import Backbone
from zoo.backbones.keras_applications import KerasFamily

_CONVNEXT = KerasFamily(
    paper="Liu et al., 2022, https://arxiv.org/abs/2201.03545",
    license="MIT",
    origin="converted from https://github.com/facebookresearch/ConvNeXt",
    normalization="none",
    block_pattern=r"stage_\d_block_\d+|downsampling_block_\d",
    folder="tensorflow/keras-applications/convnext",
    file_template="{}_notop.h5",
)
_CONVNEXT_21K = replace(_CONVNEXT, data="ImageNet-21k, then ImageNet-1k")

ROWS: tuple[Backbone, ...] = (
    _CONVNEXT.row(
        "convnext_tiny",
        "ConvNeXtTiny",
        input_size=224,
        num_features=768,
        num_parameters=27_820_128,
        top1=0.813,
        summary="a modern resnet50: six points more accurate at about the same cost",
        file_key="convnext_tiny",
        sha256="d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
    ),
    _CONVNEXT.row(
        "convnext_small",
        "ConvNeXtSmall",
        input_size=224,
        num_features=768,
        num_parameters=49_454_688,
        top1=0.823,
        summary="twice the depth of convnext_tiny for one point",
        file_key="convnext_small",
        sha256="6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab",
    ),
    _CONVNEXT_21K.row(
        "convnext_base",
        "ConvNeXtBase",
        input_size=224,
        num_features=1024,
        num_parameters=87_566_464,
        top1=0.853,
        summary="pretrained on 21,000 classes, so it transfers well; needs a GPU",
        file_key="convnext_base",
        sha256="40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45",
    ),
    _CONVNEXT_21K.row(
        "convnext_large",
        "ConvNeXtLarge",
        input_size=224,
        num_features=1536,
        num_parameters=196_230_336,
        top1=0.863,
        summary="one point above convnext_base at more than twice the size",
        file_key="convnext_large",
        sha256="96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd",
    ),
    _CONVNEXT_21K.row(
        "convnext_xlarge",
        "ConvNeXtXLarge",
        input_size=224,
        num_features=2048,
        num_parameters=348_147_968,
        top1=0.867,
        summary="most accurate of all; 1.4 GB of weights",
        file_key="convnext_xlarge",
        sha256="de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05",
    ),
)
