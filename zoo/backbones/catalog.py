"""Catalog of backbones: the tables of architectures and weights, and look-up by name.

A backbone's name is an architecture, `mobilenet_v2`, with random weights; an
architecture and a tag, `mobilenet_v2.imagenet`, with the weights of that row; the path of a
file that `zoo pretrain` wrote, `runs/birds/pretrained.npz`; or a preset of KerasHub,
`kerashub:FOLDER`. Importing this module loads neither Keras nor TensorFlow, so that `zoo list`
answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.backbones import (
    convnext,
    deep_belief_network,
    densenet,
    efficientnet,
    efficientnet_lite,
    inception,
    micro_resnet,
    mobilenet,
    nasnet,
    resnet,
    squeezenet,
    vgg,
    xception,
)
from zoo.backbones.base import Backbone, blocks_of, cut_backbone, find_cuts
from zoo.backbones.kerashub.resolve import PREFIX, resolve_preset
from zoo.errors import RecipeError, UnknownNameError, WeightsError
from zoo.image_format import channels_last
from zoo.table import Table, unknown_name
from zoo.weights.row import Weights

BACKBONES: Table[Backbone] = Table(
    "backbone",
    (
        *micro_resnet.ROWS,
        *squeezenet.ROWS,
        *efficientnet_lite.ROWS,
        *xception.ROWS,
        *vgg.ROWS,
        *resnet.ROWS,
        *inception.ROWS,
        *mobilenet.ROWS,
        *densenet.ROWS,
        *nasnet.ROWS,
        *efficientnet.ROWS,
        *convnext.ROWS,
        *deep_belief_network.ROWS,
    ),
)
WEIGHTS: Table[Weights] = Table(
    "weights", [weights for backbone in BACKBONES.values() for weights in backbone.weights]
)


def resolve(name: str) -> tuple[Backbone, Weights | None]:
    """Returns the rows of a backbone's architecture and weights.

    Args:
        name: An architecture, `architecture.tag`, a pretrained .npz file, or a preset of
            KerasHub, `kerashub:FOLDER` or `kerashub:HANDLE`.

    Returns:
        The row of the architecture, and that of the weights, or None for random weights. The
        name of the weights means the same from any working folder, but for an .npz file.

    Raises:
        UnknownNameError: No architecture has this name, or the architecture has no such tag.
        WeightsError: The .npz file was not written by `zoo pretrain`, or the preset is none
            of an image network.
        InputError: It is a preset, and KerasHub is not installed.

    Example:
        >>> backbone, weights = resolve("mobilenet_v2.imagenet")
        >>> backbone.num_features, weights.data
        (1280, 'ImageNet-1k')
        >>> resolve("mobilenet_v2")[1] is None
        True
        >>> resolve("vgg16.imagent")
        Traceback (most recent call last):
        zoo.errors.UnknownNameError: Unknown weights 'vgg16.imagent'. Did you mean 'vgg16.imagenet'?
    """
    if str(name).startswith(PREFIX):
        return resolve_preset(str(name))
    if str(name).endswith(".npz"):
        return _resolve_file(Path(name))
    architecture, dot, _ = str(name).partition(".")
    if architecture not in BACKBONES:
        raise unknown_name("backbone", name, [*BACKBONES, *WEIGHTS])
    backbone = BACKBONES[architecture]
    if not dot:
        return backbone, None
    for weights in backbone.weights:
        if weights.name == name:
            return backbone, weights
    if not backbone.weights:
        raise UnknownNameError(
            f"Unknown weights {name!r}. {architecture} has no pretrained weights: "
            f"{architecture!r} starts from random ones."
        )
    raise unknown_name("weights", name, [weights.name for weights in backbone.weights])


def _resolve_file(path: Path) -> tuple[Backbone, Weights]:
    from zoo.files import sha256_of
    from zoo.weights.archive import read_card

    card = read_card(path)
    backbone = BACKBONES[card.backbone]
    return backbone, Weights(
        name=str(path),
        url=str(path.resolve()),
        file=path.name,
        sha256=sha256_of(path),
        license="its owner's",
        data=card.data,
        input_size=card.preprocessing.size,
        normalization=backbone.normalization,
        top1=card.accuracy,
        origin="zoo pretrain",
    )


@channels_last()
def build_backbone(
    name: str, size: int | None = None, *, truncate_blocks: int = 0, levels: int = 1
) -> Any:
    """Builds a backbone and loads its weights, downloading them if necessary.

    Args:
        name: An architecture, `architecture.tag`, a pretrained .npz file, or a preset of
            KerasHub.
        size: Height and width of the input, in pixels; by default the size that the
            weights were trained at.
        truncate_blocks: How many blocks to remove from the top, at least 0.
        levels: How many feature maps it yields, at least 1; see
            `zoo.backbones.base.cut_backbone`.

    Returns:
        A `keras.Model`, named after the architecture, from float32 [B, S, S, 3],
        normalized as the row says, to features float32 [B, h, w, F], or a list of them from
        the top down.

    Raises:
        UnknownNameError: No backbone has this name.
        RecipeError: `size` is too small for the architecture, or the architecture cannot
            be truncated by so many blocks or has too few levels.
        WeightsError: The weight file is unavailable, the wrong one, or unreadable.
        FetchError: The download broke off.
    """
    backbone, weights = resolve(name)
    if size is None:
        size = weights.input_size if weights else backbone.input_size
    if size < backbone.min_size:
        raise RecipeError(
            f"the images are too small for {backbone.name}",
            expected=f"a size of at least {backbone.min_size}",
            received=str(size),
            mend="choose a larger size, or one of the micro_resnet backbones",
        )
    if not weights:
        return cut_backbone(backbone, backbone.build(size), truncate_blocks, levels)

    from zoo.weights.fetch import fetch
    from zoo.weights.hdf5 import check_weight_file

    # Fetch before building: fetching may fail, and building takes seconds.
    path = fetch(weights)
    if not weights.sha256:
        check_weight_file(path)
    model = backbone.build(size)
    try:
        backbone.load(model, path)
    except WeightsError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        # The errors that h5py and Keras' loader were seen to raise on foreign files.
        raise WeightsError(
            f"{path} cannot be read as the weights of {backbone.name}",
            expected=f"the file of {weights.name}",
            received=str(error) or type(error).__name__,
            mend="remove it, and the next run downloads it again",
        ) from error
    return cut_backbone(backbone, model, truncate_blocks, levels)


def count_blocks(name: str, size: int) -> int:
    """Returns the number of blocks that can be unfrozen in a backbone.

    Args:
        name: An architecture or `architecture.tag`.
        size: Height and width of the images, in pixels.

    Raises:
        UnknownNameError: No such backbone.
    """
    row, _ = resolve(name)
    return len(blocks_of(row, row.build(size)))


def possible_cuts(name: str, size: int) -> list[int]:
    """Returns the numbers of blocks that can be removed from a backbone, from 1 on.

    Args:
        name: An architecture or `architecture.tag`; the cuts are those of random weights.
        size: Height and width of the images, in pixels.

    Raises:
        UnknownNameError: No such backbone.
    """
    row, _ = resolve(name)
    return sorted(find_cuts(row, row.build(size))) if row.block_pattern else []
