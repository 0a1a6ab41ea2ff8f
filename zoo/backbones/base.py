"""Backbone rows, and the division of a built backbone into blocks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import RecipeError
from zoo.private_api import inputs_in, producer_of
from zoo.weights.row import Weights


def load_weights(model: Any, path: Path) -> None:
    """Loads a weight file in Keras' own format into a model of the same layers."""
    model.load_weights(path)


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """One architecture without its classification top.

    Args:
        name: The architecture's name, such as `mobilenet_v2`.
        summary: One line on when to use it.
        build: Maps a height and width in pixels to a `keras.Model` with random
            weights, from normalized float32 [B, S, S, 3] to features [B, h, w, F].
        fit_stem: Fits the first layers of a model from `build` to normalized images
            float32 [N, S, S, 3] before training from random weights; None if the
            architecture starts without.
        load: Reads a verified weight file into a model from `build`.
        input_size: The native height and width, in pixels.
        min_size: The smallest height and width accepted, in pixels.
        normalization: The pixel normalization expected: a row of NORMALIZATIONS.
        num_features: F, the channels of the last feature map.
        num_parameters: Weights of the built model, including the moving statistics of
            batch normalization.
        block_pattern: A regular expression; its match in a layer's name, or the match's
            group if it has one, names the layer's block. A layer without a match belongs
            to the block of the layer before it. An empty one makes the whole one block.
        block_ends: Whether `block_pattern` matches the last layer of each block instead,
            for networks whose other layers have no stable names.
        boltzmann_layers: The names of the dense sigmoid layers, from the pixels up, if the
            network has no others: restricted Boltzmann machines can pretrain it.
        paper: Authors, year and address.
        weights: The published weight files.
    """

    name: str
    summary: str
    build: Callable[[int], Any]
    fit_stem: Callable[[Any, Any], None] | None = None
    load: Callable[[Any, Path], None] = load_weights
    input_size: int
    min_size: int
    normalization: str
    num_features: int
    num_parameters: int
    block_pattern: str
    block_ends: bool = False
    boltzmann_layers: tuple[str, ...] = ()
    paper: str
    weights: tuple[Weights, ...] = ()


def blocks_of(backbone: Backbone, model: Any) -> list[list[Any]]:
    """Splits a backbone's layers into blocks, from the input to the top.

    Unfreezing, truncation and discriminative learning rates count in blocks. The layers
    before the first named block form the stem, a block of its own. A block without
    weights is merged into the block before it.

    Args:
        backbone: The row that `model` was built from.
        model: A model that `backbone.build` returned.

    Returns:
        Every layer of the model exactly once; each block has weights and keeps its
        layers' order. Names decide, not positions: Keras orders layers by depth, which
        interleaves the branches of neighboring cells in NASNet.
    """
    pattern = re.compile(backbone.block_pattern)
    blocks: dict[str, list[Any]] = {}
    key = ""
    for layer in model.layers:
        match = pattern.search(layer.name)
        if match and not backbone.block_ends:
            key = match[pattern.groups]
        blocks.setdefault(key, []).append(layer)
        if match and backbone.block_ends:
            key = f"after {layer.name}"
    merged: list[list[Any]] = []
    for block in blocks.values():
        if merged and not (_has_weights(block) and _has_weights(merged[-1])):
            merged[-1].extend(block)
        else:
            merged.append(block)
    return merged


def cut_backbone(backbone: Backbone, model: Any, truncate_blocks: int = 0, levels: int = 1) -> Any:
    """Removes blocks from the top of a backbone, and adds outputs of lower levels.

    Features of lower layers are more general, so a truncated backbone can transfer
    better to images unlike those it was trained on; and features of several levels
    together tell more than those of one.

    Args:
        backbone: The row that `model` was built from.
        model: A model that `backbone.build` returned.
        truncate_blocks: How many blocks to remove from the top.
        levels: How many feature maps the result yields, at least 1: that of its highest
            block, and those of the next places below where it could be cut.

    Returns:
        A `keras.Model` of the same name, input and layers, which ends in the features of
        the highest block that remains, or in a list of feature maps from the top down;
        `model` itself if nothing is to change.

    Raises:
        RecipeError: The backbone has no such place to be cut, since it has too few blocks
            or more than one feature map crosses the cut; or it has too few levels.

    Reference: Yosinski et al., 2014, https://arxiv.org/abs/1411.1792; Evci et al., 2022,
    https://arxiv.org/abs/2201.03529
    """
    import keras

    if not truncate_blocks and levels == 1:
        return model
    if not backbone.block_pattern:
        raise RecipeError(
            f"{backbone.name} has no blocks to cut between",
            expected="backbone.truncate_blocks = 0 and backbone.levels = 1",
            received=f"{truncate_blocks} and {levels}",
            mend="leave them out, or choose a row of `zoo list backbones`",
        )
    outputs = {0: model.output, **find_cuts(backbone, model)}
    if truncate_blocks not in outputs:
        num_all = len(blocks_of(backbone, model))
        raise RecipeError(
            f"{backbone.name} cannot be truncated by {truncate_blocks} of its {num_all} blocks",
            expected=f"backbone.truncate_blocks of {', '.join(map(str, outputs))}",
            received=str(truncate_blocks),
            mend="choose one of these: any other cut crosses parallel branches",
        )
    below = [output for number, output in outputs.items() if number >= truncate_blocks]
    if levels > len(below):
        raise RecipeError(
            f"{backbone.name} has too few levels",
            expected=f"backbone.levels from 1 to {len(below)}",
            received=str(levels),
            mend=f"--set backbone.levels={len(below)} takes all of them",
        )
    return keras.Model(model.input, below[:levels] if levels > 1 else below[0], name=model.name)


def find_cuts(backbone: Backbone, model: Any) -> dict[int, Any]:
    """Returns the places between blocks where one feature map passes, from the top down.

    Args:
        backbone: The row that `model` was built from.
        model: A model that `backbone.build` returned.

    Returns:
        From the number of blocks above the place, at least 1, to the Keras tensor that passes
        it, [B, h, w, C], of a dense layer [B, 1, 1, C]; empty for a backbone without blocks.
    """
    if not backbone.block_pattern:
        return {}
    blocks = blocks_of(backbone, model)
    below = {n: _tensors_below(blocks, model, n) for n in range(1, len(blocks))}
    return {n: _as_map(tensors[0]) for n, tensors in below.items() if len(tensors) == 1}


def tensors_below(backbone: Backbone, model: Any, num_blocks: int) -> list[Any]:
    """Returns what a backbone's top blocks read, and what it returns from below them.

    Args:
        backbone: The row that `model` was built from.
        model: A model that `backbone.build` returned, with outputs at one level or several.
        num_blocks: The number of blocks, at least 1.

    Returns:
        Keras tensors, [B, …] each; everything above depends on the input by these alone.
    """
    return _tensors_below(blocks_of(backbone, model), model, num_blocks)


def _as_map(output: Any) -> Any:
    from keras import layers

    if len(output.shape) > 2:
        return output
    shape = 1, 1, output.shape[-1]
    return layers.Reshape(shape, name=f"{producer_of(output).name}_map")(output)


def _tensors_below(blocks: list[list[Any]], model: Any, num_blocks: int) -> list[Any]:
    """Returns the tensors from below that go into the top blocks, or out of the model."""
    above = {id(layer) for block in blocks[-num_blocks:] for layer in block}
    layers = {id(layer) for layer in model.layers}
    inputs_of = inputs_in(model)
    crossing: dict[int, Any] = {}
    # In graph order. A sum may be an operation without a layer, and so belong to no block:
    # it is above the cut if one of its inputs is.
    for operation in model.operations:
        inputs = inputs_of.get(id(operation), [])
        below = [t for t in inputs if id(producer_of(t)) not in above]
        if id(operation) not in layers and len(below) < len(inputs):
            above.add(id(operation))
        if id(operation) in above:
            crossing.update((id(tensor), tensor) for tensor in below)
    returned = [output for output in model.outputs if id(producer_of(output)) not in above]
    return list((crossing | {id(output): output for output in returned}).values())


def _has_weights(layers: list[Any]) -> bool:
    # `weights`, not `variables`, which include the seed state of Dropout.
    return any(layer.weights for layer in layers)
