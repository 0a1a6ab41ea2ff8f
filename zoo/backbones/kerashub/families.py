"""KerasHub's classes of image networks that can be backbones, and the shape of what they return.

Read in KerasHub 0.32. Only these classes are ever built: a preset is a folder from anywhere,
and what its config.json names is looked up here, not imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from zoo.table import Table

Settings = Mapping[str, Any]
"""Arguments of a network's constructor, as config.json has them."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """One class of networks.

    Args:
        name: The class in `keras_hub.models`.
        summary: One line on the networks and what the head sees of them.
        paper: Authors, year and address.
        num_channels: Maps the settings to D, the width of a token, a vector or a feature map.
        num_class_tokens: Maps the settings to the number of tokens before the patches that
            stand for the whole image; None if the network returns a vector or a feature map.
        registers: The setting that counts the tokens between those and the patches, which
            are scratch space of the network.
        sizes: The heights and widths accepted: `fixed` for one table of positions, `patches`
            for multiples of the patch size, `any`.
        shape_key: The setting that holds the shape of the input.
        older_settings: Settings of older presets that the constructor takes by `**kwargs`.
        text_encoder: The class of the text half, for networks of pictures and texts.
        vision_encoder: The class of the picture half, a row of FAMILIES, which alone becomes
            the backbone.
        weights_group: Where the weight file holds that half.
    """

    name: str
    summary: str
    paper: str
    num_channels: Callable[[Settings], int]
    num_class_tokens: Callable[[Settings], int] | None = None
    registers: str = ""
    sizes: Literal["fixed", "patches", "any"] = "any"
    shape_key: str = "image_shape"
    older_settings: tuple[str, ...] = ()
    text_encoder: str = ""
    vision_encoder: str = ""
    weights_group: str = ""

    def num_features(self, settings: Settings) -> int:
        """Returns F, the channels of the feature map: class tokens beside each patch."""
        tokens = self.num_class_tokens(settings) if self.num_class_tokens else 0
        return self.num_channels(settings) * (1 + tokens)


def _hidden_dim(settings: Settings) -> int:
    return int(settings["hidden_dim"])


def _resnet_channels(settings: Settings) -> int:
    expansion = 4 if str(settings["block_type"]).startswith("bottleneck") else 1
    return int(settings["stackwise_num_filters"][-1]) * expansion


def _densenet_channels(settings: Settings) -> int:
    channels = 64
    *lower, top = settings["stackwise_num_repeats"]
    for repeats in lower:
        channels += repeats * settings["growth_rate"]
        channels = int(channels * settings["compression_ratio"])
    return int(channels + top * settings["growth_rate"])


def _efficientnet_channels(settings: Settings) -> int:
    divisor = settings["depth_divisor"]
    smallest = divisor if settings["use_depth_divisor_as_min_depth"] else settings["min_depth"]
    widths = settings.get("stackwise_width_coefficients") or settings["width_coefficient"]
    width = widths[-1] if isinstance(widths, list) else widths
    return _round_channels(
        settings.get("num_features", 1280) * width,  # which KerasHub 0.32 does not save
        divisor,
        smallest,
        capped=settings["cap_round_filter_decrease"],
    )


def _mobilenet_channels(settings: Settings) -> int:
    return _round_channels(settings["last_layer_filter"], 8, 8, capped=True)


def _round_channels(channels: float, divisor: int, smallest: int, *, capped: bool) -> int:
    """Rounds to a multiple of `divisor`; capped, not down by more than a tenth."""
    rounded = max(smallest, int(channels + divisor / 2) // divisor * divisor)
    return int(rounded + divisor if capped and rounded < 0.9 * channels else rounded)


def _one(settings: Settings) -> int:
    return 1


FAMILIES: Table[Family] = Table(
    "KerasHub backbone",
    [
        Family(
            name="ViTBackbone",
            summary="vision transformer; class token beside patches",
            paper="Dosovitskiy et al., 2021, https://arxiv.org/abs/2010.11929",
            num_channels=_hidden_dim,
            num_class_tokens=lambda settings: int(settings["use_class_token"]),
            sizes="fixed",
        ),
        Family(
            name="DeiTBackbone",
            summary="distilled vision transformer; class token and teacher's token beside patches",
            paper="Touvron et al., 2021, https://arxiv.org/abs/2012.12877",
            num_channels=_hidden_dim,
            num_class_tokens=lambda settings: 2,
            sizes="fixed",
        ),
        Family(
            name="DINOV2Backbone",
            summary="self-supervised vision transformer; class token beside patches",
            paper="Oquab et al., 2023, https://arxiv.org/abs/2304.07193",
            num_channels=_hidden_dim,
            num_class_tokens=_one,
            registers="num_register_tokens",
            sizes="patches",
        ),
        Family(
            name="DINOV3Backbone",
            summary="self-supervised vision transformer; class token beside patches",
            paper="Siméoni et al., 2025, https://arxiv.org/abs/2508.10104",
            num_channels=_hidden_dim,
            num_class_tokens=_one,
            registers="num_register_tokens",
            sizes="patches",
        ),
        Family(
            name="CLIPVisionEncoder",
            summary="vision half of CLIP; class token beside patches",
            paper="Radford et al., 2021, https://arxiv.org/abs/2103.00020",
            num_channels=_hidden_dim,
            num_class_tokens=_one,
            sizes="fixed",
        ),
        Family(
            name="CLIPBackbone",
            summary="CLIP, of which the vision half is used",
            paper="Radford et al., 2021, https://arxiv.org/abs/2103.00020",
            num_channels=_hidden_dim,
            vision_encoder="CLIPVisionEncoder",
            weights_group="layers/clip_vision_encoder",
            text_encoder="CLIPTextEncoder",
        ),
        Family(
            name="SigLIPVisionEncoder",
            summary="vision half of SigLIP; a vector, pooled by attention",
            paper="Zhai et al., 2023, https://arxiv.org/abs/2303.15343",
            num_channels=_hidden_dim,
            sizes="fixed",
        ),
        Family(
            name="SigLIPBackbone",
            summary="SigLIP, of which the vision half is used",
            paper="Zhai et al., 2023, https://arxiv.org/abs/2303.15343",
            num_channels=_hidden_dim,
            vision_encoder="SigLIPVisionEncoder",
            weights_group="layers/sig_lip_vision_encoder",
            text_encoder="SigLIPTextEncoder",
        ),
        Family(
            name="SwinTransformerBackbone",
            summary="transformer of shifted windows; patches",
            paper="Liu et al., 2021, https://arxiv.org/abs/2103.14030",
            num_channels=lambda s: int(s["embed_dim"]) * 2 ** (len(s["depths"]) - 1),
            num_class_tokens=lambda settings: 0,
            sizes="fixed",
        ),
        Family(
            name="MiTBackbone",
            summary="encoder of SegFormer; feature map",
            paper="Xie et al., 2021, https://arxiv.org/abs/2105.15203",
            num_channels=lambda settings: int(settings["hidden_dims"][-1]),
        ),
        Family(
            name="ResNetBackbone",
            summary="residual network, in its variants; feature map",
            paper="He et al., 2016, https://arxiv.org/abs/1512.03385",
            num_channels=_resnet_channels,
        ),
        Family(
            name="DenseNetBackbone",
            summary="densely connected network; feature map",
            paper="Huang et al., 2017, https://arxiv.org/abs/1608.06993",
            num_channels=_densenet_channels,
        ),
        Family(
            name="EfficientNetBackbone",
            summary="EfficientNet, in its variants; feature map",
            paper="Tan and Le, 2019, https://arxiv.org/abs/1905.11946",
            num_channels=_efficientnet_channels,
            shape_key="input_shape",
            older_settings=("depth_coefficient", "width_coefficient"),
        ),
        Family(
            name="MobileNetBackbone",
            summary="MobileNetV3; feature map",
            paper="Howard et al., 2019, https://arxiv.org/abs/1905.02244",
            num_channels=_mobilenet_channels,
        ),
        Family(
            name="CSPNetBackbone",
            summary="cross stage partial network; feature map",
            paper="Wang et al., 2020, https://arxiv.org/abs/1911.11929",
            num_channels=lambda settings: int(settings["stackwise_num_filters"][-1]),
        ),
        Family(
            name="VGGBackbone",
            summary="convolutions in a row; feature map",
            paper="Simonyan and Zisserman, 2015, https://arxiv.org/abs/1409.1556",
            num_channels=lambda settings: int(settings["stackwise_num_filters"][-1]),
        ),
        Family(
            name="XceptionBackbone",
            summary="separable convolutions; feature map",
            paper="Chollet, 2017, https://arxiv.org/abs/1610.02357",
            num_channels=lambda settings: int(settings["stackwise_conv_filters"][-1][-1]),
        ),
    ],
)
