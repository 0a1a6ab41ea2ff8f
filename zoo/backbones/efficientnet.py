"""EfficientNet and EfficientNetV2: depth, width and resolution scaled together.

Papers: Tan and Le, 2019, https://arxiv.org/abs/1905.11946 and, for V2, 2021,
https://arxiv.org/abs/2104.00298. Weights: converted from
https://github.com/tensorflow/tpu and, for V2, https://github.com/google/automl;
Apache-2.0. Normalization is part of the networks, which take pixels in 0 to 255.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo.backbones.base import Backbone, load_weights
from zoo.backbones.keras_applications import KerasFamily

# Standard deviation of ImageNet's pixels in 0 to 1, RGB.
_IMAGENET_STD = (0.229, 0.224, 0.225)


def _load_efficientnet(model: Any, path: Path) -> None:
    """Loads an EfficientNet file and corrects the variance of its normalization layer.

    The files store ImageNet's standard deviation where the layer expects the variance:
    it divides by the square root of the deviation. Keras corrects that by a second
    layer, which divides by the square root once more and which Keras adds only when it
    downloads the weights itself. Multiplying the stored value by the deviation yields
    the variance and computes the same function without the second layer.

    Reference: https://github.com/tensorflow/tensorflow/issues/49930
    """
    import keras

    load_weights(model, path)
    layer = next(x for x in model.layers if isinstance(x, keras.layers.Normalization))
    deviation = keras.ops.convert_to_tensor(_IMAGENET_STD)
    layer.adapt_variance.assign(layer.adapt_variance * deviation)
    layer.finalize_state()


_EFFICIENTNET = KerasFamily(
    paper="Tan and Le, 2019, https://arxiv.org/abs/1905.11946",
    license="Apache-2.0",
    origin="converted from https://github.com/tensorflow/tpu",
    normalization="none",
    block_pattern=r"block\d[a-z]|top",
    folder="keras-applications",
    file_template="{}_notop.h5",
    load=_load_efficientnet,
)
_EFFICIENTNET_V2 = replace(
    _EFFICIENTNET,
    paper="Tan and Le, 2021, https://arxiv.org/abs/2104.00298",
    origin="converted from https://github.com/google/automl",
    folder="tensorflow/keras-applications/efficientnet_v2",
    load=load_weights,
)

ROWS: tuple[Backbone, ...] = (
    _EFFICIENTNET.row(
        "efficientnet_b0",
        "EfficientNetB0",
        input_size=224,
        num_features=1280,
        num_parameters=4_049_571,
        top1=0.771,
        summary="accurate for 4 M parameters; needs more arithmetic than mobilenet_v2",
        file_key="efficientnetb0",
        md5="50bc09e76180e00e4465e1a485ddc09d",
    ),
    _EFFICIENTNET.row(
        "efficientnet_b1",
        "EfficientNetB1",
        input_size=240,
        num_features=1280,
        num_parameters=6_575_239,
        top1=0.791,
        summary="one step above efficientnet_b0, at 240 px",
        file_key="efficientnetb1",
        md5="74c4e6b3e1f6a1eea24c589628592432",
    ),
    _EFFICIENTNET.row(
        "efficientnet_b2",
        "EfficientNetB2",
        input_size=260,
        num_features=1408,
        num_parameters=7_768_569,
        top1=0.801,
        summary="one step above efficientnet_b1, at 260 px",
        file_key="efficientnetb2",
        md5="111f8e2ac8aa800a7a99e3239f7bfb39",
    ),
    _EFFICIENTNET.row(
        "efficientnet_b3",
        "EfficientNetB3",
        input_size=300,
        num_features=1536,
        num_parameters=10_783_535,
        top1=0.816,
        summary="good balance of accuracy and cost on a GPU; 300 px",
        file_key="efficientnetb3",
        md5="af6d107764bb5b1abb91932881670226",
    ),
    _EFFICIENTNET.row(
        "efficientnet_b4",
        "EfficientNetB4",
        input_size=380,
        num_features=1792,
        num_parameters=17_673_823,
        top1=0.829,
        summary="sees fine detail at 380 px; needs a GPU",
        file_key="efficientnetb4",
        md5="ebc24e6d6c33eaebbd558eafbeedf1ba",
    ),
    _EFFICIENTNET.row(
        "efficientnet_b5",
        "EfficientNetB5",
        input_size=456,
        num_features=2048,
        num_parameters=28_513_527,
        top1=0.836,
        summary="for 456 px; training needs much GPU memory",
        file_key="efficientnetb5",
        md5="38879255a25d3c92d5e44e04ae6cec6f",
    ),
    _EFFICIENTNET.row(
        "efficientnet_b6",
        "EfficientNetB6",
        input_size=528,
        num_features=2304,
        num_parameters=40_960_143,
        top1=0.840,
        summary="for 528 px; half a point above efficientnet_b5 at nearly twice the cost",
        file_key="efficientnetb6",
        md5="9ecce42647a20130c1f39a5d4cb75743",
    ),
    _EFFICIENTNET.row(
        "efficientnet_b7",
        "EfficientNetB7",
        input_size=600,
        num_features=2560,
        num_parameters=64_097_687,
        top1=0.843,
        summary="for 600 px; most accurate of the first EfficientNets and slowest of all",
        file_key="efficientnetb7",
        md5="cbcfe4450ddf6f3ad90b1b398090fe4a",
    ),
    _EFFICIENTNET_V2.row(
        "efficientnet_v2_b0",
        "EfficientNetV2B0",
        input_size=224,
        num_features=1280,
        num_parameters=5_919_312,
        top1=0.787,
        summary="better and faster to train than efficientnet_b0",
        file_key="efficientnetv2-b0",
        md5="893217f2bb855e2983157299931e43ff",
    ),
    _EFFICIENTNET_V2.row(
        "efficientnet_v2_b1",
        "EfficientNetV2B1",
        input_size=240,
        num_features=1280,
        num_parameters=6_931_124,
        top1=0.798,
        summary="one step above efficientnet_v2_b0, at 240 px",
        file_key="efficientnetv2-b1",
        md5="0e80663031ca32d657f9caa404b6ec37",
    ),
    _EFFICIENTNET_V2.row(
        "efficientnet_v2_b2",
        "EfficientNetV2B2",
        input_size=260,
        num_features=1408,
        num_parameters=8_769_374,
        top1=0.805,
        summary="one step above efficientnet_v2_b1, at 260 px",
        file_key="efficientnetv2-b2",
        md5="1dfe2e7a5d45b6632553a8961ea609eb",
    ),
    _EFFICIENTNET_V2.row(
        "efficientnet_v2_b3",
        "EfficientNetV2B3",
        input_size=300,
        num_features=1536,
        num_parameters=12_930_622,
        top1=0.820,
        summary="82 % in 13 M parameters; a good default with a GPU",
        file_key="efficientnetv2-b3",
        md5="f6abf7b5849ac99a89b50dd3fd532856",
    ),
    _EFFICIENTNET_V2.row(
        "efficientnet_v2_s",
        "EfficientNetV2S",
        input_size=384,
        num_features=1280,
        num_parameters=20_331_360,
        top1=0.839,
        summary="close to efficientnet_b7 at a fraction of its cost",
        file_key="efficientnetv2-s",
        md5="af0682fb74e8c54910f2d4393339c070",
    ),
    _EFFICIENTNET_V2.row(
        "efficientnet_v2_m",
        "EfficientNetV2M",
        input_size=480,
        num_features=1280,
        num_parameters=53_150_388,
        top1=0.853,
        summary="for 480 px and a large GPU",
        file_key="efficientnetv2-m",
        md5="1b8dc055df72dde80d614482840fe342",
    ),
    _EFFICIENTNET_V2.row(
        "efficientnet_v2_l",
        "EfficientNetV2L",
        input_size=480,
        num_features=1280,
        num_parameters=117_746_848,
        top1=0.857,
        summary="most accurate of those trained on ImageNet-1k alone",
        file_key="efficientnetv2-l",
        md5="b0b66b5c863aef5b46e8608fe1711615",
    ),
)
