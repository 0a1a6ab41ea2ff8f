"""The forty architectures of keras.applications, each with its ImageNet weights.

Code: Keras' own (Apache-2.0), called with `include_top=False`; nothing here is
a copy of it. Weights: the files Keras itself downloads, at the addresses and
with the digests (MD5; ConvNeXt SHA-256; none for MobileNet and MobileNetV2) of
Keras 3.15's source, which a test compares. They are published under the
licenses their trainers chose: for networks up to 2018 as the Keras 2.2
documentation lists them (VGG is CC-BY-4.0 and asks for credit), for later ones
the license of the repository they were converted from.

Top-1 is single-crop ImageNet validation accuracy as
https://keras.io/api/applications/ states it, MobileNetV3's as the docstring of
Keras' mobilenet_v3.py does. Parameters and features were counted on the built
models and are tested. None of the files could be fetched where this was
written; loading is tested against Keras' own path with files of its format.

Three traps of Keras that this file steps around:

- EfficientNetV2 and ConvNeXt look their configuration, and EfficientNetV2 its
  preprocessing, up by the model's name: they are built under Keras' name and
  renamed afterwards.
- EfficientNet (the first) has an additional rescaling layer only if Keras
  itself downloads the weights: see `_load_efficientnet`.
- Layers without a name of their own (`conv2d_93`) count from one model of a
  process to the next: no block is found by such a name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from zoo.backbones.base import Backbone, load_weights
from zoo.weights.row import Weights

_HOST = "https://storage.googleapis.com"


@dataclass(frozen=True, kw_only=True)
class _Family:
    """What the rows of one paper share; see Backbone and Weights for the rest."""

    paper: str
    license: str
    source: str  # who trained the weights, or where they were converted from
    normalization: str
    blocks: str
    block_ends: bool = False
    folder: str  # of the files, on _HOST
    file: str = "{}_weights_tf_dim_ordering_tf_kernels_notop.h5"  # {}: the row's own part
    min_size: int = 32
    data: str = "ImageNet-1k"
    load: Callable[[Any, Path], None] = load_weights


def _build(name: str, symbol: str, size: int) -> Any:
    """Builds `keras.applications.<symbol>` without its top, and calls it `name`."""
    import keras

    model = getattr(keras.applications, symbol)(
        weights=None, include_top=False, input_shape=(size, size, 3)
    )
    model.name = name
    return model


def _load_efficientnet(model: Any, path: Path) -> None:
    """Loads an EfficientNet file and corrects the variance of its input layer.

    The files hold the standard deviation of ImageNet's pixels where the layer
    wants the variance, so it divides by the root of what it should. Keras mends
    that by a second layer, which divides by the root of the standard deviation
    once more and which it adds only if it downloads the weights itself. A factor
    in the stored variance is the same function. See
    https://github.com/tensorflow/tensorflow/issues/49930.
    """
    import keras

    load_weights(model, path)
    layer = next(x for x in model.layers if isinstance(x, keras.layers.Normalization))
    deviation = keras.ops.convert_to_tensor([0.229, 0.224, 0.225])
    layer.adapt_variance.assign(layer.adapt_variance * deviation)
    layer.finalize_state()


def _row(
    family: _Family,
    name: str,
    symbol: str,
    size: int,
    features: int,
    parameters: int,
    top1: float,
    summary: str,
    file: str,
    md5: str = "",
    sha256: str = "",
) -> Backbone:
    file = family.file.format(file)
    weights = Weights(
        name=f"{name}.imagenet",
        url=f"{_HOST}/{family.folder}/{file}",
        file=file,
        md5=md5,
        sha256=sha256,
        license=family.license,
        data=family.data,
        input_size=size,
        normalization=family.normalization,
        top1=top1,
        origin=f"{family.source}; published by Keras, whose documentation states top-1",
    )
    return Backbone(
        name=name,
        summary=summary,
        build=partial(_build, name, symbol),
        load=family.load,
        input_size=size,
        min_size=family.min_size,
        normalization=family.normalization,
        num_features=features,
        num_parameters=parameters,
        block_pattern=family.blocks,
        block_ends=family.block_ends,
        paper=family.paper,
        weights=(weights,),
    )


XCEPTION = _Family(
    paper="Chollet, 2017, https://arxiv.org/abs/1610.02357",
    license="MIT",
    source="trained by Keras' author",
    normalization="signed_unit",
    blocks=r"block\d+",
    folder="tensorflow/keras-applications/xception",
    min_size=71,
)
VGG = _Family(
    paper="Simonyan and Zisserman, 2015, https://arxiv.org/abs/1409.1556",
    license="CC-BY-4.0",
    source="converted from VGG, Oxford, https://www.robots.ox.ac.uk/~vgg/research/very_deep/",
    normalization="caffe",
    # A block each convolution: VGG's own fifth block is half of the network.
    blocks=r"block\d_conv\d",
    folder="tensorflow/keras-applications/vgg16",
)
VGG_19 = replace(VGG, folder="tensorflow/keras-applications/vgg19")
RESNET = _Family(
    paper="He et al., 2016, https://arxiv.org/abs/1512.03385",
    license="MIT",
    source="converted from https://github.com/KaimingHe/deep-residual-networks",
    normalization="caffe",
    blocks=r"conv\d_block\d+",
    folder="tensorflow/keras-applications/resnet",
)
RESNET_V2 = replace(
    RESNET,
    paper="He et al., 2016, https://arxiv.org/abs/1603.05027",
    license="BSD-3-Clause",
    source="converted from https://github.com/facebook/fb.resnet.torch",
    normalization="signed_unit",
)
INCEPTION = _Family(
    paper="Szegedy et al., 2016, https://arxiv.org/abs/1512.00567",
    license="Apache-2.0",
    source="converted from https://github.com/tensorflow/models",
    normalization="signed_unit",
    # Its convolutions have no names; only the end of a module does. mixed9_0 and
    # mixed9_1 are inside of a module.
    blocks=r"^mixed\d+$",
    block_ends=True,
    folder="tensorflow/keras-applications/inception_v3",
    min_size=75,
)
INCEPTION_RESNET = replace(
    INCEPTION,
    paper="Szegedy et al., 2017, https://arxiv.org/abs/1602.07261",
    blocks=r"^(?:mixed_\w+|block\d+_\d+_ac)$",
    folder="tensorflow/keras-applications/inception_resnet_v2",
)
MOBILENET = _Family(
    paper="Howard et al., 2017, https://arxiv.org/abs/1704.04861",
    license="Apache-2.0",
    source="converted from https://github.com/tensorflow/models",
    normalization="signed_unit",
    blocks=r"conv_[dp]w_(\d+)",
    folder="tensorflow/keras-applications/mobilenet",
    file="{}_tf_no_top.h5",
)
MOBILENET_V2 = replace(
    MOBILENET,
    paper="Sandler et al., 2018, https://arxiv.org/abs/1801.04381",
    blocks=r"block_\d+|expanded_conv|Conv_1",
    folder="tensorflow/keras-applications/mobilenet_v2",
    file="mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{}_no_top.h5",
)
MOBILENET_V3 = replace(
    MOBILENET,
    paper="Howard et al., 2019, https://arxiv.org/abs/1905.02244",
    normalization="none",
    blocks=r"expanded_conv(?:_\d+)?|conv_1",
    folder="tensorflow/keras-applications/mobilenet_v3",
    file="weights_mobilenet_v3_{}_float_no_top_v2.h5",
)
DENSENET = _Family(
    paper="Huang et al., 2017, https://arxiv.org/abs/1608.06993",
    license="BSD-3-Clause",
    source="converted from https://github.com/liuzhuang13/DenseNet",
    normalization="imagenet",
    blocks=r"conv\d_block\d+|pool\d",
    folder="tensorflow/keras-applications/densenet",
)
NASNET = _Family(
    paper="Zoph et al., 2018, https://arxiv.org/abs/1707.07012",
    license="Apache-2.0",
    source="converted from https://github.com/tensorflow/models",
    normalization="signed_unit",
    # The cell is at the end of the name: normal_conv_1_12, reduction_add_1_stem_2.
    blocks=r"^(?:adjust|normal|reduction|separable)_.*?_(stem_\d|reduce_\d+|\d+)$",
    folder="tensorflow/keras-applications/nasnet",
    file="NASNet-{}-no-top.h5",
)
EFFICIENTNET = _Family(
    paper="Tan and Le, 2019, https://arxiv.org/abs/1905.11946",
    license="Apache-2.0",
    source="converted from https://github.com/tensorflow/tpu",
    normalization="none",
    blocks=r"block\d[a-z]|top",
    folder="keras-applications",
    file="{}_notop.h5",
    load=_load_efficientnet,
)
EFFICIENTNET_V2 = replace(
    EFFICIENTNET,
    paper="Tan and Le, 2021, https://arxiv.org/abs/2104.00298",
    source="converted from https://github.com/google/automl",
    folder="tensorflow/keras-applications/efficientnet_v2",
    load=load_weights,
)
CONVNEXT = _Family(
    paper="Liu et al., 2022, https://arxiv.org/abs/2201.03545",
    license="MIT",
    source="converted from https://github.com/facebookresearch/ConvNeXt",
    normalization="none",
    blocks=r"stage_\d_block_\d+|downsampling_block_\d",
    folder="tensorflow/keras-applications/convnext",
    file="{}_notop.h5",
)
CONVNEXT_21K = replace(CONVNEXT, data="ImageNet-21k, then ImageNet-1k")

# Family, name, function of keras.applications, native size, features, parameters, top-1;
# when to use it; the file's own part of its name, and the digest.
# fmt: off
ROWS: tuple[Backbone, ...] = (
    _row(XCEPTION, "xception", "Xception", 299, 2048, 20_861_480, 0.790,
         "strong on photographs for its size; separable convolutions are slow on a CPU",
         "xception", md5="b0042744bf5b25fce3cb969f33bebb97"),
    _row(VGG, "vgg16", "VGG16", 224, 512, 14_714_688, 0.713,
         "no residuals, no normalization: a teaching classic; large files, slow",
         "vgg16", md5="6d6bbae143d832006294945121d1f1fc"),
    _row(VGG_19, "vgg19", "VGG19", 224, 512, 20_024_384, 0.713,
         "vgg16 with three more convolutions and no more accuracy",
         "vgg19", md5="253f8cb515780f3b799900260a226db6"),
    _row(RESNET, "resnet50", "ResNet50", 224, 2048, 23_587_712, 0.749,
         "the usual baseline: every paper compares with it",
         "resnet50", md5="4d473c1dd8becc155b73f8504c6f6626"),
    _row(RESNET, "resnet101", "ResNet101", 224, 2048, 42_658_176, 0.764,
         "twice the depth of resnet50 for 1.5 points",
         "resnet101", md5="88cf7a10940856eca736dc7b7e228a21"),
    _row(RESNET, "resnet152", "ResNet152", 224, 2048, 58_370_944, 0.766,
         "deepest of the first ResNets; resnet152_v2 is better at the same cost",
         "resnet152", md5="ee4c566cf9a93f14d82f913c2dc6dd0c"),
    _row(RESNET_V2, "resnet50_v2", "ResNet50V2", 224, 2048, 23_564_800, 0.760,
         "resnet50 with pre-activation: easier to train, a point better",
         "resnet50v2", md5="fac2f116257151a9d068a22e544a4917"),
    _row(RESNET_V2, "resnet101_v2", "ResNet101V2", 224, 2048, 42_626_560, 0.772,
         "deeper pre-activation ResNet, for larger data sets",
         "resnet101v2", md5="c0ed64b8031c3730f411d2eb4eea35b5"),
    _row(RESNET_V2, "resnet152_v2", "ResNet152V2", 224, 2048, 58_331_648, 0.780,
         "deepest pre-activation ResNet; slow without a GPU",
         "resnet152v2", md5="ed17cf2e0169df9d443503ef94b23b33"),
    _row(INCEPTION, "inception_v3", "InceptionV3", 299, 2048, 21_802_784, 0.779,
         "good with objects of several scales; wants 299 px",
         "inception_v3", md5="bcbd6486424b2319ff4ef7d526e38f63"),
    _row(INCEPTION_RESNET, "inception_resnet_v2", "InceptionResNetV2", 299, 1536, 54_336_736, 0.803,
         "the most accurate network of 2016; slow, wants 299 px",
         "inception_resnet_v2", md5="d19885ff4a710c122648d3b5c3b684e4"),
    _row(MOBILENET, "mobilenet", "MobileNet", 224, 1024, 3_228_864, 0.704,
         "small, fast and simple; mobilenet_v2 is as accurate in less space",
         "mobilenet_1_0_224"),
    _row(MOBILENET_V2, "mobilenet_v2", "MobileNetV2", 224, 1280, 2_257_984, 0.713,
         "first choice on a CPU or a telephone",
         "1.0_224"),
    _row(MOBILENET_V3, "mobilenet_v3_small", "MobileNetV3Small", 224, 576, 939_120, 0.681,
         "smallest with useful ImageNet features; for tight latency",
         "small_224_1.0", md5="d3e8ec802a04aa4fc771ee12a9a9b836"),
    _row(MOBILENET_V3, "mobilenet_v3_large", "MobileNetV3Large", 224, 960, 2_996_352, 0.756,
         "more accurate than mobilenet_v2 at about its latency",
         "large_224_1.0", md5="07fb09a5933dd0c8eaafa16978110389"),
    _row(DENSENET, "densenet121", "DenseNet121", 224, 1024, 7_037_504, 0.750,
         "few parameters, much memory traffic; liked in medical imaging",
         "densenet121", md5="30ee3e1110167f948a6b9946edeeb738"),
    _row(DENSENET, "densenet169", "DenseNet169", 224, 1664, 12_642_880, 0.762,
         "densenet121 with half as many layers again",
         "densenet169", md5="b8c4d4c20dd625c148057b9ff1c1176b"),
    _row(DENSENET, "densenet201", "DenseNet201", 224, 1920, 18_321_984, 0.773,
         "largest DenseNet here; accurate for 18 M parameters, slow to train",
         "densenet201", md5="c13680b51ded0fb44dff2d8f86ac8bb1"),
    _row(NASNET, "nasnet_mobile", "NASNetMobile", 224, 1056, 4_269_716, 0.744,
         "found by search; many small operations make it slow for its size",
         "mobile", md5="1ed92395b5b598bdda52abe5c0dbfd63"),
    _row(NASNET, "nasnet_large", "NASNetLarge", 331, 4032, 84_916_818, 0.825,
         "accurate and very slow; EfficientNetV2 does better for less",
         "large", md5="d81d89dc07e6e56530c4e77faddd61b5"),
    _row(EFFICIENTNET, "efficientnet_b0", "EfficientNetB0", 224, 1280, 4_049_571, 0.771,
         "accurate for 4 M parameters; needs more arithmetic than mobilenet_v2",
         "efficientnetb0", md5="50bc09e76180e00e4465e1a485ddc09d"),
    _row(EFFICIENTNET, "efficientnet_b1", "EfficientNetB1", 240, 1280, 6_575_239, 0.791,
         "a step above b0 at 240 px",
         "efficientnetb1", md5="74c4e6b3e1f6a1eea24c589628592432"),
    _row(EFFICIENTNET, "efficientnet_b2", "EfficientNetB2", 260, 1408, 7_768_569, 0.801,
         "a step above b1 at 260 px",
         "efficientnetb2", md5="111f8e2ac8aa800a7a99e3239f7bfb39"),
    _row(EFFICIENTNET, "efficientnet_b3", "EfficientNetB3", 300, 1536, 10_783_535, 0.816,
         "good balance where a GPU is at hand; 300 px",
         "efficientnetb3", md5="af6d107764bb5b1abb91932881670226"),
    _row(EFFICIENTNET, "efficientnet_b4", "EfficientNetB4", 380, 1792, 17_673_823, 0.829,
         "fine detail at 380 px; wants a GPU",
         "efficientnetb4", md5="ebc24e6d6c33eaebbd558eafbeedf1ba"),
    _row(EFFICIENTNET, "efficientnet_b5", "EfficientNetB5", 456, 2048, 28_513_527, 0.836,
         "456 px: training needs much GPU memory",
         "efficientnetb5", md5="38879255a25d3c92d5e44e04ae6cec6f"),
    _row(EFFICIENTNET, "efficientnet_b6", "EfficientNetB6", 528, 2304, 40_960_143, 0.840,
         "528 px: half a point over b5 at nearly twice the cost",
         "efficientnetb6", md5="9ecce42647a20130c1f39a5d4cb75743"),
    _row(EFFICIENTNET, "efficientnet_b7", "EfficientNetB7", 600, 2560, 64_097_687, 0.843,
         "600 px: most accurate of the first EfficientNets, slowest of all",
         "efficientnetb7", md5="cbcfe4450ddf6f3ad90b1b398090fe4a"),
    _row(EFFICIENTNET_V2, "efficientnet_v2_b0", "EfficientNetV2B0", 224, 1280, 5_919_312, 0.787,
         "better and faster to train than efficientnet_b0",
         "efficientnetv2-b0", md5="893217f2bb855e2983157299931e43ff"),
    _row(EFFICIENTNET_V2, "efficientnet_v2_b1", "EfficientNetV2B1", 240, 1280, 6_931_124, 0.798,
         "a step above v2_b0 at 240 px",
         "efficientnetv2-b1", md5="0e80663031ca32d657f9caa404b6ec37"),
    _row(EFFICIENTNET_V2, "efficientnet_v2_b2", "EfficientNetV2B2", 260, 1408, 8_769_374, 0.805,
         "a step above v2_b1 at 260 px",
         "efficientnetv2-b2", md5="1dfe2e7a5d45b6632553a8961ea609eb"),
    _row(EFFICIENTNET_V2, "efficientnet_v2_b3", "EfficientNetV2B3", 300, 1536, 12_930_622, 0.820,
         "82 % in 13 M parameters; a good default with a GPU",
         "efficientnetv2-b3", md5="f6abf7b5849ac99a89b50dd3fd532856"),
    _row(EFFICIENTNET_V2, "efficientnet_v2_s", "EfficientNetV2S", 384, 1280, 20_331_360, 0.839,
         "close to efficientnet_b7 at a fraction of its cost",
         "efficientnetv2-s", md5="af0682fb74e8c54910f2d4393339c070"),
    _row(EFFICIENTNET_V2, "efficientnet_v2_m", "EfficientNetV2M", 480, 1280, 53_150_388, 0.853,
         "480 px; for a large GPU",
         "efficientnetv2-m", md5="1b8dc055df72dde80d614482840fe342"),
    _row(EFFICIENTNET_V2, "efficientnet_v2_l", "EfficientNetV2L", 480, 1280, 117_746_848, 0.857,
         "most accurate here of those trained on ImageNet-1k alone",
         "efficientnetv2-l", md5="b0b66b5c863aef5b46e8608fe1711615"),
    _row(CONVNEXT, "convnext_tiny", "ConvNeXtTiny", 224, 768, 27_820_128, 0.813,
         "a modern resnet50: six points better at about its cost",
         "convnext_tiny",
         sha256="d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1"),
    _row(CONVNEXT, "convnext_small", "ConvNeXtSmall", 224, 768, 49_454_688, 0.823,
         "twice the depth of convnext_tiny for a point",
         "convnext_small",
         sha256="6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab"),
    _row(CONVNEXT_21K, "convnext_base", "ConvNeXtBase", 224, 1024, 87_566_464, 0.853,
         "features of 21,000 classes: transfers far; wants a GPU",
         "convnext_base",
         sha256="40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45"),
    _row(CONVNEXT_21K, "convnext_large", "ConvNeXtLarge", 224, 1536, 196_230_336, 0.863,
         "a point over convnext_base at more than twice the size",
         "convnext_large",
         sha256="96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd"),
    _row(CONVNEXT_21K, "convnext_xlarge", "ConvNeXtXLarge", 224, 2048, 348_147_968, 0.867,
         "most accurate here; 1.4 GB of weights",
         "convnext_xlarge",
         sha256="de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05"),
)
# fmt: on
