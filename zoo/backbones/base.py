"""Backbone: the row of one architecture, which every family file exports."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import RecipeError
from zoo.weights.row import Weights


def load_weights(model: Any, path: Path) -> None:
    """Loads a file that Keras itself wrote into a model of the same layers."""
    model.load_weights(path)


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """One architecture without its classification top.

    Args:
        name: The architecture, such as `mobilenet_v2`; random weights.
        summary: One line on when to use it.
        build: Maps a height and width in pixels to a `keras.Model` from float32
            [B, S, S, 3], normalized, to features [B, h, w, F], random weights.
        fit_stem: Fits the first layers of what `build` made to normalized images
            float32 [N, S, S, 3], where training from random weights starts so.
        load: Reads a verified weight file into what `build` made.
        input_size: The native height and width in pixels.
        min_size: The smallest height and width it accepts.
        normalization: What it expects of a pixel: a row of NORMALIZATIONS.
        num_features: F.
        num_parameters: Of `build`'s model, batch normalization's moving
            statistics included.
        block_pattern: A regular expression whose match in a layer's name, or the
            group in it if it has one, names the layer's block. Layers it does not
            match belong to the block of the layer before them.
        block_ends: The pattern names the last layer of a block instead: for
            networks whose other layers have no stable names.
        boltzmann_layers: Its dense sigmoid layers from the pixels up, where they are
            all it is made of: what restricted Boltzmann machines can train.
        paper: Authors, year and address.
        weights: The weight files published for it.
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

    Unfreezing and discriminative learning rates address these. What is before
    the first named block is one too: the stem. Blocks without weights are joined
    to the one before.

    Args:
        backbone: The row that `model` was built from.
        model: What its `build` returned.

    Returns:
        Every layer of the model once; each block has weights and keeps its
        layers' order. Keras orders layers by depth, which interleaves the
        branches of neighboring cells (NASNet's): names decide, not positions.
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


def truncate_backbone(backbone: Backbone, model: Any, num_blocks: int) -> Any:
    """Returns the lower part of a backbone: what is low in a network is general.

    Reference: Yosinski et al., 2014, https://arxiv.org/abs/1411.1792

    Args:
        backbone: The row that `model` was built from.
        model: What its `build` returned.
        num_blocks: How many blocks to leave out, from the top; 0 returns `model`.

    Returns:
        A `keras.Model` of the same name, input and layers, up to the features of the
        highest block left.

    Raises:
        RecipeError: It has no more blocks than that, or more than one feature map goes
            from what is left to what is not.
    """
    import keras

    if not num_blocks:
        return model
    blocks = blocks_of(backbone, model)
    ends = {n: _end_without(blocks, model, n) for n in range(1, len(blocks))}
    lower = ends.get(num_blocks)
    if lower is None:
        possible = ", ".join(["0", *(str(n) for n, end in ends.items() if end is not None)])
        raise RecipeError(
            f"{backbone.name} cannot do without {num_blocks} of its {len(blocks)} blocks",
            expected=f"backbone.truncate_blocks of {possible}",
            received=str(num_blocks),
            mend="choose one of these: elsewhere, branches run side by side",
        )
    return keras.Model(model.input, lower, name=model.name)


def _end_without(blocks: list[list[Any]], model: Any, num_blocks: int) -> Any:
    """Returns the one tensor that goes from the blocks below to those at the top, or None."""
    above = {id(layer) for block in blocks[-num_blocks:] for layer in block}
    layers = {id(layer) for layer in model.layers}
    crossing: dict[int, Any] = {}
    # In the order of the graph; a sum may be an operation that is no layer, and is above
    # where something above goes into it.
    for operation in model.operations:
        inputs = [t for node in operation._inbound_nodes for t in node.input_tensors]
        below = [t for t in inputs if id(t._keras_history.operation) not in above]
        if id(operation) not in layers and len(below) < len(inputs):
            above.add(id(operation))
        if id(operation) in above:
            crossing.update((id(tensor), tensor) for tensor in below)
    return next(iter(crossing.values())) if len(crossing) == 1 else None


def _has_weights(layers: list[Any]) -> bool:
    # `weights`, not `variables`: the state of a Dropout's random numbers is no weight.
    return any(layer.weights for layer in layers)
