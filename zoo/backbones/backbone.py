"""Backbone: the row of one architecture, which every family file exports."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.weights import Weights


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
            [B, S, S, 3], normalised, to features [B, h, w, F], random weights.
        fit_stem: Fits the first layers of what `build` made to normalised images
            float32 [N, S, S, 3], where training from random weights starts so.
        load: Reads a verified weight file into what `build` made.
        input_size: The native height and width in pixels.
        min_size: The smallest height and width it accepts.
        normalisation: What it expects of a pixel: a row of NORMALISATIONS.
        num_features: F.
        num_parameters: Of `build`'s model, batch normalisation's moving
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
    normalisation: str
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
        branches of neighbouring cells (NASNet's): names decide, not positions.
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


def _has_weights(layers: list[Any]) -> bool:
    # `weights`, not `variables`: the state of a Dropout's random numbers is no weight.
    return any(layer.weights for layer in layers)
